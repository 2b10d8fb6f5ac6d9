'use strict';

const express = require('express');

// An application of Express; the template makes it listen.
const app = express();

app.use(express.text({ type: '*/*', limit: '10mb' }));

app.post('/', (req, res) => {
  res.type('text/plain').send(typeof req.body === 'string' ? req.body : '');
});

module.exports = app;

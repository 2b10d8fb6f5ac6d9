'use strict';

const fs = require('fs');
const express = require('express');

const app = express();
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const text = (res) => res.type('text/plain');

app.disable('etag');
app.use(express.raw({ type: () => true, limit: '10mb' }));
app.all('/echo', (req, res) => {
  res.setHeader('Content-Type', req.headers['content-type'] || 'none');
  res.end(Buffer.isBuffer(req.body) ? req.body : undefined);
});
app.all(/^\/inspect/, (req, res) => {
  const path = decodeURIComponent(req.path);
  const { method, query, headers } = req;
  res.json({ method, path, query, two: headers['x-two'] || '', cookie: headers.cookie || '' });
});
app.all('/status', (req, res) => text(res).status(Number(req.query.code)).send(`status ${req.query.code}`));
app.all('/redirect', (req, res) => res.redirect(302, '/elsewhere'));
app.all('/cookies', (req, res) => text(res).append('Set-Cookie', 'a=1; Path=/').append('Set-Cookie', 'b=2').send('set'));
app.all('/json', (req, res) => res.json({ tax: 4.7, of: ['grüß', null, true] }));
app.all('/text', (req, res) => text(res).send('grüß'));
app.all('/stream', async (req, res) => {
  text(res);
  for (const word of ['one\n', 'two\n', 'three\n']) {
    res.write(word);
    await wait(300);
  }
  res.end();
});
app.all('/error', () => {
  throw new RangeError('no subtotal');
});
app.all('/slow', async (req, res) => {
  await wait(500);
  text(res).send('slow');
});
app.all('/environment', (req, res) => text(res).send(process.env.PROBE || 'none'));
app.all('/secret', (req, res) => {
  text(res).send(fs.readFileSync(`${process.env.FAAS_SECRETS_DIR || '/var/openfaas/secrets'}/portability-key`, 'utf8'));
});

module.exports = app;

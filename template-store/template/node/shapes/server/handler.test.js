'use strict';

const assert = require('assert');
const http = require('http');
const { once } = require('events');
const test = require('node:test');

const { main } = require('./handler');

test('it answers what it is sent', async () => {
  process.env.PORT = '0';
  const server = main();
  await once(server, 'listening');
  const request = http.request({ port: server.address().port, method: 'POST', agent: false });
  request.end('hello');
  const [response] = await once(request, 'response');
  const [body] = await once(response, 'data');
  assert.strictEqual(body.toString(), 'hello');
  server.close();
});

'use strict';

const assert = require('assert');
const test = require('node:test');

const app = require('./handler');

test('it answers what it is sent', async () => {
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    const { port } = server.address();
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'hello' });
    assert.strictEqual(await answer.text(), 'hello');
  } finally {
    server.close();
    server.closeAllConnections();
  }
});

'use strict';

const assert = require('assert');
const test = require('node:test');

const handle = require('./handler');

test('it answers what it is sent', async () => {
  assert.strictEqual(await handle('hello'), 'hello');
});

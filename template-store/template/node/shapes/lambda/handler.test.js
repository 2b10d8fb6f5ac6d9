'use strict';

const assert = require('assert');
const test = require('node:test');

const { handler } = require('./handler');

test('it greets by name', async () => {
  const answer = await handler({ name: 'Ada' }, {});
  assert.deepStrictEqual(JSON.parse(answer.body), { hello: 'Ada' });
});

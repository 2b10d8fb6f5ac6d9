'use strict';

const assert = require('assert');
const test = require('node:test');

const handle = require('./handler');

test('it greets by name', async () => {
  const answer = await handle({ query: { name: 'Ada' }, body: 'hello', headers: {}, method: 'POST', path: '/' }, {});
  assert.deepStrictEqual(answer.body, { hello: 'Ada', youSent: 'hello' });
});

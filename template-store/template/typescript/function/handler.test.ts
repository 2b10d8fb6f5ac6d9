import assert from 'assert';
import test from 'node:test';

import { handle } from './handler';

test('it answers what it is sent', async () => {
  const event = { body: 'hello', rawBody: Buffer.from('hello'), headers: {}, method: 'POST', path: '/', query: {} };
  const answer = await handle(event, { functionName: '', hostname: '' });
  assert.strictEqual(String(answer.body), 'hello');
});

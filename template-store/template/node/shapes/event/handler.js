'use strict';

// Answers a request. event: body (parsed, when it is JSON), rawBody, headers, method, query, path. context: functionName,
// hostname, status(), headers(), succeed(), fail().
module.exports = async (event, context) => {
  const name = event.query.name || 'you';
  return { statusCode: 200, headers: {}, body: { hello: name, youSent: event.body } };
};

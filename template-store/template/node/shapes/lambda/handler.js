'use strict';

// A handler of AWS Lambda, as it is, on every platform. event: that of a function URL (payload 2.0); the fields of a JSON
// body are in it too.
exports.handler = async (event, context) => {
  const name = event.name || 'you';
  return { statusCode: 200, body: JSON.stringify({ hello: name }) };
};

'use strict';

// Answers a request. req: the body, as text. What is returned (text, a Buffer, or anything that JSON can hold) is the
// answer.
module.exports = async (req) => {
  return req;
};

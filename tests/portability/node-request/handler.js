'use strict';

const fs = require('fs');

module.exports = async (req) => {
  switch (req) {
    case '/json':
      return { tax: 4.7, of: ['grüß', null, true] };
    case '/text':
      return 'grüß';
    case '/error':
      throw new RangeError('no subtotal');
    case '/slow':
      await new Promise((resolve) => setTimeout(resolve, 500));
      return 'slow';
    case '/environment':
      return process.env.PROBE || 'none';
    case '/secret':
      return fs.readFileSync(`${process.env.FAAS_SECRETS_DIR || '/var/openfaas/secrets'}/portability-key`, 'utf8');
    default:
      return req;
  }
};

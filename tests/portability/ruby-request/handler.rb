# frozen_string_literal: true

def handle(req)
  case req
  when '/json' then { tax: 4.7, of: ['grüß', nil, true] }
  when '/text' then print 'grüß'
  when '/error' then raise ArgumentError, 'no subtotal'
  when '/slow'
    sleep 0.5
    'slow'
  when '/environment' then ENV.fetch('PROBE', 'none')
  when '/secret' then File.read("#{ENV.fetch('FAAS_SECRETS_DIR', '/var/openfaas/secrets')}/portability-key")
  else req
  end
end

# frozen_string_literal: true

require 'minitest/autorun'
require_relative '../handler'

class HandlerTest < Minitest::Test
  Event = Struct.new(:query, :text)

  def test_it_greets_by_name
    answer = handle(event: Event.new({ 'name' => 'Ada' }, 'hello'), context: nil)
    assert_equal({ hello: 'Ada', you_sent: 'hello' }, answer[:body])
  end
end

# frozen_string_literal: true

require 'minitest/autorun'
require_relative '../handler'

class HandlerTest < Minitest::Test
  def test_it_greets_by_name
    answer = lambda_handler(event: { 'name' => 'Ada' }, context: nil)
    assert_equal({ 'hello' => 'Ada' }, JSON.parse(answer[:body]))
  end
end

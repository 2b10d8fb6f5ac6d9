# frozen_string_literal: true

require 'minitest/autorun'
require_relative '../handler'

class HandlerTest < Minitest::Test
  def test_it_answers_what_it_is_sent
    assert_equal 'hello', answer('hello')
  end
end

package function

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRoutesAnswerWhatTheyAreSent(t *testing.T) {
	answer := httptest.NewRecorder()
	routes().ServeHTTP(answer, httptest.NewRequest("POST", "/", strings.NewReader("hello")))
	if got := answer.Body.String(); got != "hello" {
		t.Fatalf("got %q", got)
	}
}

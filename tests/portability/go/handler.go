// Package function is the probe of the portability matrix.
package function

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Handle answers a request.
func Handle(w http.ResponseWriter, r *http.Request) {
	query := map[string]string{}
	for name := range r.URL.Query() {
		query[name] = r.URL.Query().Get(name)
	}
	if strings.HasPrefix(r.URL.Path, "/inspect") {
		answer(w, map[string]any{
			"method": r.Method, "path": r.URL.Path, "query": query,
			"two": strings.Join(r.Header.Values("X-Two"), ", "), "cookie": strings.Join(r.Header.Values("Cookie"), "; "),
		})
		return
	}
	plain := func() { w.Header().Set("Content-Type", "text/plain; charset=utf-8") }
	switch r.URL.Path {
	case "/echo":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		kind := r.Header.Get("Content-Type")
		if kind == "" {
			kind = "none"
		}
		w.Header().Set("Content-Type", kind)
		w.Write(body)
	case "/status":
		code, _ := strconv.Atoi(query["code"])
		plain()
		w.WriteHeader(code)
		io.WriteString(w, "status "+query["code"])
	case "/answer":
		plain()
		name := query["name"]
		if name == "" {
			name = "X-Value"
		}
		if value, ok := query["value"]; ok {
			w.Header().Set(name, value)
		}
		if code, ok := query["status"]; ok {
			code, _ := strconv.Atoi(code)
			w.WriteHeader(code)
		}
		io.WriteString(w, "b")
	case "/redirect":
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	case "/cookies":
		w.Header().Add("Set-Cookie", "a=1; Path=/")
		w.Header().Add("Set-Cookie", "b=2")
		io.WriteString(w, "set")
	case "/json":
		answer(w, map[string]any{"tax": 4.7, "of": []any{"grüß", nil, true}})
	case "/text":
		plain()
		io.WriteString(w, "grüß")
	case "/stream":
		plain()
		for _, word := range []string{"one\n", "two\n", "three\n"} {
			io.WriteString(w, word)
			w.(http.Flusher).Flush()
			time.Sleep(300 * time.Millisecond)
		}
	case "/error":
		panic("no subtotal")
	case "/slow":
		time.Sleep(500 * time.Millisecond)
		plain()
		io.WriteString(w, "slow")
	case "/environment":
		value := os.Getenv("PROBE")
		if value == "" {
			value = "none"
		}
		plain()
		io.WriteString(w, value)
	case "/secret":
		folder := os.Getenv("FAAS_SECRETS_DIR")
		if folder == "" {
			folder = "/var/openfaas/secrets"
		}
		secret, err := os.ReadFile(folder + "/portability-key")
		if err != nil {
			panic(err)
		}
		plain()
		w.Write(secret)
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(data)
}

// Package function answers requests by a web server of its own.
package function

import (
	"io"
	"net/http"
	"os"
)

// Handle serves on 127.0.0.1, port $PORT, until it is ended.
func Handle() error {
	return http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), routes())
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.Copy(w, r.Body)
	})
	return mux
}

// The HTTP server around function.Handle: Go's shim between the invoker and the user's function.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"

	"handler/function"
)

const (
	text  = "text/plain; charset=utf-8"
	bytes = "application/octet-stream"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "5000"
		os.Setenv("PORT", port)
	}
	if serve, ok := any(function.Handle).(func() error); ok {
		// A web server of its own.
		log.Fatal(serve())
	}
	handler, err := handlerOf(function.Handle)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		log.Fatal(err)
	}
	// The invoker decides how long a call may take and how long a connection is kept.
	server := &http.Server{Handler: guarded(handler), MaxHeaderBytes: 1 << 20}
	drained := make(chan struct{})
	go func() {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
		<-stop
		server.Shutdown(context.Background())
		close(drained)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-drained
}

// handlerOf makes an HTTP handler of each shape that function.Handle may have.
func handlerOf(handle any) (http.Handler, error) {
	switch handle := handle.(type) {
	case http.Handler:
		return handle, nil
	case func(http.ResponseWriter, *http.Request):
		return http.HandlerFunc(handle), nil
	case func(string) string:
		return whole(text, func(_ context.Context, in []byte) ([]byte, error) { return []byte(handle(string(in))), nil }), nil
	case func([]byte) string:
		return whole(text, func(_ context.Context, in []byte) ([]byte, error) { return []byte(handle(in)), nil }), nil
	case func(string) (string, error):
		return whole(text, func(_ context.Context, in []byte) ([]byte, error) {
			out, err := handle(string(in))
			return []byte(out), err
		}), nil
	case func([]byte) ([]byte, error):
		return whole(bytes, func(_ context.Context, in []byte) ([]byte, error) { return handle(in) }), nil
	case func(context.Context, []byte) ([]byte, error):
		return whole(bytes, handle), nil
	}
	return typed(handle)
}

// whole answers with what a function makes of a body.
func whole(contentType string, call func(context.Context, []byte) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, err := call(r.Context(), in)
		if err != nil {
			log.Print(err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Write(out)
	})
}

var (
	contextType = reflect.TypeOf((*context.Context)(nil)).Elem()
	errorType   = reflect.TypeOf((*error)(nil)).Elem()
)

// typed makes a handler of func([context.Context,] In) (Out, error): In is read from JSON, Out is written as JSON.
func typed(handle any) (http.Handler, error) {
	call := reflect.ValueOf(handle)
	kind := call.Type()
	wrong := fmt.Errorf("function.Handle is a %v; see the template's README for the shapes it may have", kind)
	if kind.Kind() != reflect.Func || kind.NumOut() != 2 || kind.Out(1) != errorType || kind.NumIn() < 1 || kind.NumIn() > 2 {
		return nil, wrong
	}
	if kind.NumIn() == 2 && kind.In(0) != contextType {
		return nil, wrong
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := reflect.New(kind.In(kind.NumIn() - 1))
		if err := json.NewDecoder(r.Body).Decode(in.Interface()); err != nil && err != io.EOF {
			http.Error(w, "the body is no JSON of the right form: "+err.Error(), http.StatusBadRequest)
			return
		}
		arguments := []reflect.Value{in.Elem()}
		if kind.NumIn() == 2 {
			arguments = []reflect.Value{reflect.ValueOf(r.Context()), in.Elem()}
		}
		results := call.Call(arguments)
		if err, _ := results[1].Interface().(error); err != nil {
			log.Print(err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		out, err := json.Marshal(results[0].Interface())
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(out)
	}), nil
}

// guarded answers 500 with the message where a handler panics, and logs the stack.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watched{ResponseWriter: w, upgrades: r.Header.Get("Upgrade") != ""}
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if reason == http.ErrAbortHandler {
				panic(reason)
			}
			log.Printf("panic: %v\n%s", reason, debug.Stack())
			if watched.begun {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			for name := range w.Header() {
				delete(w.Header(), name)
			}
			http.Error(w, fmt.Sprint("panic: ", reason), http.StatusInternalServerError)
		}()
		next.ServeHTTP(watched, r)
		watched.begin()
	})
}

// watched knows whether the answer has begun.
type watched struct {
	http.ResponseWriter
	begun, upgrades bool
}

// check refuses what net/http would leave out of the head, or change.
func (w *watched) check() {
	for name, values := range w.Header() {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		if name == "" || strings.IndexFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c) }) >= 0 {
			panic(fmt.Sprintf("%q can't be the name of a header field", name))
		}
		for _, value := range values {
			if strings.IndexFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) >= 0 {
				panic(fmt.Sprintf("the header field %s holds a line end or another control character", name))
			}
		}
	}
}

func (w *watched) WriteHeader(status int) {
	if status < 100 || status > 999 || status == http.StatusSwitchingProtocols && !w.upgrades {
		panic(fmt.Sprintf("the status %d is none that an answer can have: 200 to 999 are", status))
	}
	if status >= 200 || status == http.StatusSwitchingProtocols { // the others say that it is to come
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

// begin is called when the head of the answer is written.
func (w *watched) begin() {
	if !w.begun {
		w.check()
		w.begun = true
	}
}

func (w *watched) Write(data []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(data)
}

// Flush is for handlers that ask for an http.Flusher.
func (w *watched) Flush() {
	w.begin()
	if flusher, ok := w.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Hijack is for handlers that take over the connection, as for WebSockets.
func (w *watched) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begun = true
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

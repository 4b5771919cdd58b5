// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"strings"
)

type api struct {
	store  *store
	tokens *tokens
}

// request is one that a user has sent; id is that of the session in the path, if there is one.
type request struct {
	*http.Request
	writer http.ResponseWriter
	by     *caller
	id     uuid
}

// ServeHTTP answers every error.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := requestIDOf(r.Header.Get("X-Request-Id"))
	headers := w.Header()
	headers.Set("X-Request-Id", requestID)
	headers.Set("Cache-Control", "no-store")
	headers.Set("X-Content-Type-Options", "nosniff")
	err := a.serve(w, r, requestID)
	if err == nil {
		return
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		log.Print(err)
		refused = refuse("INTERNAL_ERROR", "An internal error occurred.")
	}
	writeRefusal(w, refused, requestID)
}

func (a *api) serve(w http.ResponseWriter, r *http.Request, requestID string) error {
	handle, id, err := a.route(r.Method, r.URL.Path)
	if err != nil {
		return err
	}
	user, refused := a.tokens.userOf(r.Header.Get("Authorization"))
	if refused != nil {
		return refused
	}
	by, err := callerOf(r, user, requestID)
	if err != nil {
		return err
	}
	found := request{Request: r, writer: w, by: by}
	if id != "" {
		parsed, ok := parseUUID(id)
		if !ok {
			return invalid("The session's id has to be a UUID.")
		}
		found.id = parsed
	}
	return handle(found)
}

// route also returns the id in the path.
func (a *api) route(method, path string) (func(request) error, string, error) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if parts[0] != "sessions" || len(parts) > 3 {
		return nil, "", refuse("NOT_FOUND", "There is no such path.")
	}
	pattern, id := method+" /sessions", ""
	if len(parts) > 1 {
		pattern, id = pattern+"/{id}", parts[1]
	}
	if len(parts) > 2 {
		pattern += "/" + parts[2]
	}
	switch pattern {
	case "POST /sessions":
		return a.planSession, id, nil
	case "GET /sessions":
		return a.getSessions, id, nil
	case "GET /sessions/{id}":
		return a.getSession, id, nil
	case "PATCH /sessions/{id}":
		return a.updateSession, id, nil
	case "POST /sessions/{id}/start":
		return a.startSession, id, nil
	case "POST /sessions/{id}/complete":
		return a.completeSession, id, nil
	case "POST /sessions/{id}/fail":
		return a.failSession, id, nil
	}
	return nil, "", refuse("METHOD_NOT_ALLOWED", "The method is not allowed.")
}

// detached lets a command end whose client has gone: its statements have limits of their own.
func detached() context.Context { return context.Background() }

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone gets no answer
}

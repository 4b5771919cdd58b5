// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
)

var statusOfCode = map[string]int{
	"VALIDATION_ERROR":       http.StatusBadRequest,
	"UNAUTHENTICATED":        http.StatusUnauthorized,
	"NOT_FOUND":              http.StatusNotFound,
	"SESSION_NOT_FOUND":      http.StatusNotFound,
	"METHOD_NOT_ALLOWED":     http.StatusMethodNotAllowed,
	"ACTIVE_SESSION_EXISTS":  http.StatusConflict,
	"PRECONDITION_FAILED":    http.StatusPreconditionFailed,
	"PAYLOAD_TOO_LARGE":      http.StatusRequestEntityTooLarge,
	"IDEMPOTENCY_KEY_REUSED": http.StatusUnprocessableEntity,
	"INVALID_REASON":         http.StatusUnprocessableEntity,
	"INVALID_NOTES":          http.StatusUnprocessableEntity,
	"NO_REPETITIONS":         http.StatusUnprocessableEntity,
	"INTERNAL_ERROR":         http.StatusInternalServerError,
}

// stages orders the statuses; the last two are final.
var stages = map[string]int{"planned": 0, "in_progress": 1, "completed": 2, "failed": 2}

// refusal is the answer to a request that cannot be served.
type refusal struct {
	status  int
	code    string
	message string
	details map[string]interface{}
}

func (r *refusal) Error() string { return r.code }

func refuse(code, message string) *refusal {
	return &refusal{statusOfCode[code], code, message, map[string]interface{}{}}
}

func invalid(message string) *refusal { return refuse("VALIDATION_ERROR", message) }

func notFound() *refusal { return refuse("SESSION_NOT_FOUND", "There is no such session.") }

// requireStatus names the first of the accepted statuses in its refusal.
func requireStatus(s *session, accepted ...string) error {
	earliest := stages[accepted[0]]
	for _, each := range accepted {
		if s.status == each {
			return nil
		}
		if stages[each] < earliest {
			earliest = stages[each]
		}
	}
	status := http.StatusConflict
	if stages[s.status] < earliest {
		status = http.StatusUnprocessableEntity
	}
	return &refusal{
		status,
		"INVALID_STATUS",
		fmt.Sprintf("The session is %s; it has to be %s.", s.status, accepted[0]),
		map[string]interface{}{
			"sessionId":      formatUUID(s.id),
			"currentStatus":  s.status,
			"requiredStatus": accepted[0],
		},
	}
}

func writeRefusal(w http.ResponseWriter, r *refusal, requestID string) {
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="training-sessions"`)
	}
	r.details["requestId"] = requestID
	body, err := json.Marshal(map[string]interface{}{
		"error": map[string]interface{}{"code": r.code, "message": r.message, "details": r.details},
	})
	if err != nil {
		panic(err)
	}
	writeJSON(w, r.status, body)
}

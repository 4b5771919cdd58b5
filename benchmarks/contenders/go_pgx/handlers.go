// SPDX-License-Identifier: MIT

package main

import (
	"net/http"
	"strconv"
	"time"
)

const (
	defaultLimit = 20
	limitMax     = 100
)

type meta struct {
	NextCursor string `json:"nextCursor,omitempty"`
}

type sessionEnvelope struct {
	Data struct {
		Session sessionDTO `json:"session"`
	} `json:"data"`
	Meta meta `json:"meta"`
}

type sessionsEnvelope struct {
	Data struct {
		Sessions []sessionDTO `json:"sessions"`
	} `json:"data"`
	Meta meta `json:"meta"`
}

func (a *api) planSession(r request) error {
	var body plan
	if _, err := readBody(r.writer, r.Request, &body); err != nil {
		return err
	}
	if err := checkNumbers(body.Sets, nil); err != nil {
		return err
	}
	notes, err := normalText(body.Notes, "NOTES", notesMaxLength)
	if err != nil {
		return err
	}
	planned := newSession(body, notes, now())
	result, err := a.store.plan(detached(), r.by, planned)
	if err != nil {
		return err
	}
	return r.answer(http.StatusCreated, "Location", result)
}

func newSession(body plan, notes *string, moment time.Time) *session {
	planned := &session{
		id: newUUID(), status: "planned", date: moment, sets: body.Sets, notes: notes, version: 1,
		createdAt: moment, updatedAt: moment,
	}
	if body.Date != nil {
		planned.date = body.Date.Truncate(time.Microsecond)
	}
	if planned.sets == nil {
		planned.sets = []*int16{}
	}
	return planned
}

func (a *api) startSession(r request) error {
	if _, err := readBody(r.writer, r.Request, &struct{}{}); err != nil {
		return err
	}
	return a.change(r, startCommand())
}

func (a *api) updateSession(r request) error {
	body, err := readUpdate(r.writer, r.Request)
	if err != nil {
		return err
	}
	return a.change(r, updateCommand(body))
}

func (a *api) completeSession(r request) error {
	var body completion
	if _, err := readBody(r.writer, r.Request, &body); err != nil {
		return err
	}
	if err := checkNumbers(body.Sets, body.RPE); err != nil {
		return err
	}
	return a.change(r, completeCommand(body))
}

func (a *api) failSession(r request) error {
	var body failure
	if _, err := readBody(r.writer, r.Request, &body); err != nil {
		return err
	}
	reason, err := normalText(body.Reason, "REASON", reasonMaxLength)
	if err != nil {
		return err
	}
	return a.change(r, failCommand(reason))
}

func (a *api) change(r request, c command) error {
	result, err := a.store.change(detached(), r.by, r.id, c)
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, "Content-Location", result)
}

func (a *api) getSession(r request) error {
	found, err := a.store.session(r.Context(), r.by.user, r.id)
	if err != nil {
		return err
	}
	r.writer.Header().Set("ETag", etag(found.version))
	if isKnown(r.Header.Get("If-None-Match"), found.version) {
		r.writer.WriteHeader(http.StatusNotModified)
		return nil
	}
	writeSession(r.writer, http.StatusOK, found.present())
	return nil
}

func (a *api) getSessions(r request) error {
	limit, after, err := pageOf(r.Request)
	if err != nil {
		return err
	}
	found, err := a.store.list(r.Context(), r.by.user, limit, after)
	if err != nil {
		return err
	}
	var envelope sessionsEnvelope
	if len(found) > limit {
		found = found[:limit]
		envelope.Meta.NextCursor = encodeCursor(found[limit-1])
	}
	envelope.Data.Sessions = found
	writeJSON(r.writer, http.StatusOK, mustMarshal(envelope))
	return nil
}

func pageOf(r *http.Request) (limit int, after *position, err error) {
	query := r.URL.Query()
	limit = defaultLimit
	if query.Has("limit") {
		limit, err = strconv.Atoi(query.Get("limit"))
		if err != nil || limit < 1 || limit > limitMax {
			return 0, nil, invalid("The limit has to be between 1 and 100.")
		}
	}
	if query.Has("cursor") {
		after, err = decodeCursor(query.Get("cursor"))
	}
	return limit, after, err
}

func (r request) answer(status int, location string, result *answer) error {
	headers := r.writer.Header()
	headers.Set("ETag", etag(result.Version))
	headers.Set(location, "/sessions/"+result.Session.ID)
	if result.replayed {
		headers.Set("Idempotent-Replayed", "true")
	}
	writeSession(r.writer, status, result.Session)
	return nil
}

func writeSession(w http.ResponseWriter, status int, dto sessionDTO) {
	var envelope sessionEnvelope
	envelope.Data.Session = dto
	writeJSON(w, status, mustMarshal(envelope))
}

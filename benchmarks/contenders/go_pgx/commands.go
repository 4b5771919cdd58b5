// SPDX-License-Identifier: MIT

package main

import (
	"reflect"
	"time"
)

type event struct {
	kind string
	data map[string]interface{}
}

// command changes a session that exists. decide returns no event if nothing changes.
type command struct {
	name   string
	asked  interface{}
	decide func(s *session, now time.Time) (*event, error)
}

func startCommand() command {
	return command{"start", nil, func(s *session, now time.Time) (*event, error) {
		if err := requireStatus(s, "planned"); err != nil {
			return nil, err
		}
		s.status, s.startedAt = "in_progress", &now
		return &event{"session_started", map[string]interface{}{}}, nil
	}}
}

func failCommand(reason *string) command {
	return command{"fail", reason, func(s *session, now time.Time) (*event, error) {
		if err := requireStatus(s, "in_progress"); err != nil {
			return nil, err
		}
		s.status, s.endedAt = "failed", &now
		return &event{"session_failed", map[string]interface{}{"reason": reason}}, nil
	}}
}

func completeCommand(body completion) command {
	return command{"complete", body, func(s *session, now time.Time) (*event, error) {
		if err := requireStatus(s, "in_progress"); err != nil {
			return nil, err
		}
		if body.Sets != nil {
			s.sets = body.Sets
		}
		if body.RPE != nil {
			s.rpe = body.RPE
		}
		if totalReps(s.sets) == 0 {
			refused := refuse("NO_REPETITIONS", "A completed session needs a repetition.")
			refused.details["sessionId"] = formatUUID(s.id)
			return nil, refused
		}
		s.status, s.endedAt = "completed", &now
		return &event{"session_completed", map[string]interface{}{
			"sets": s.sets, "totalReps": totalReps(s.sets), "rpe": s.rpe,
		}}, nil
	}}
}

func updateCommand(body update) command {
	asked := []interface{}{body, body.HasRPE, body.HasNotes}
	return command{"update", asked, func(s *session, _ time.Time) (*event, error) {
		if err := requireStatus(s, "in_progress", "planned"); err != nil {
			return nil, err
		}
		before := *s
		if body.Date != nil && !body.Date.Equal(s.date) {
			if err := requireStatus(s, "planned"); err != nil {
				return nil, err
			}
			s.date = *body.Date
		}
		if body.Sets != nil {
			s.sets = body.Sets
		}
		if body.HasRPE {
			s.rpe = body.RPE
		}
		if body.HasNotes {
			s.notes = body.Notes
		}
		if reflect.DeepEqual(before, *s) {
			return nil, nil
		}
		return &event{"session_updated", map[string]interface{}{
			"sets": s.sets, "totalReps": totalReps(s.sets), "rpe": s.rpe, "notes": s.notes,
			"sessionDate": s.date.UTC(),
		}}, nil
	}}
}

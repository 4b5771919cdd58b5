// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"time"
)

// session is a training session; a nil entry of sets stands for a set that was not done.
type session struct {
	id        uuid
	status    string
	date      time.Time
	startedAt *time.Time
	endedAt   *time.Time
	sets      []*int16
	rpe       *int16
	notes     *string
	version   int32
	createdAt time.Time
	updatedAt time.Time
}

type sessionDTO struct {
	ID          string     `json:"id"`
	Status      string     `json:"status"`
	SessionDate time.Time  `json:"sessionDate"`
	StartedAt   *time.Time `json:"startedAt"`
	EndedAt     *time.Time `json:"endedAt"`
	Sets        []*int16   `json:"sets"`
	TotalReps   int        `json:"totalReps"`
	RPE         *int16     `json:"rpe"`
	Notes       *string    `json:"notes"`
	CreatedAt   time.Time  `json:"createdAt"`
	UpdatedAt   time.Time  `json:"updatedAt"`
}

func (s *session) columns() []interface{} {
	return []interface{}{
		&s.id, &s.status, &s.date, &s.startedAt, &s.endedAt, &s.sets, &s.rpe, &s.notes, &s.version,
		&s.createdAt, &s.updatedAt,
	}
}

func (s *session) present() sessionDTO {
	return sessionDTO{
		ID:          formatUUID(s.id),
		Status:      s.status,
		SessionDate: s.date.UTC(),
		StartedAt:   inUTC(s.startedAt),
		EndedAt:     inUTC(s.endedAt),
		Sets:        s.sets,
		TotalReps:   totalReps(s.sets),
		RPE:         s.rpe,
		Notes:       s.notes,
		CreatedAt:   s.createdAt.UTC(),
		UpdatedAt:   s.updatedAt.UTC(),
	}
}

func inUTC(moment *time.Time) *time.Time {
	if moment == nil {
		return nil
	}
	utc := moment.UTC()
	return &utc
}

func totalReps(sets []*int16) int {
	total := 0
	for _, repetitions := range sets {
		if repetitions != nil {
			total += int(*repetitions)
		}
	}
	return total
}

// answer is what a command answers; the event of a command with a key keeps it for replays.
type answer struct {
	Session  sessionDTO `json:"session"`
	Version  int32      `json:"version"`
	replayed bool
}

func mustMarshal(value interface{}) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

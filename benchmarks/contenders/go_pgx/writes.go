// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v4"
)

// plan needs one round trip, or two with an idempotency key.
func (s *store) plan(ctx context.Context, by *caller, planned *session) (*answer, error) {
	asked := by.fingerprint("plan", "", []interface{}{planned.date, planned.sets, planned.notes})
	result := &answer{Session: planned.present(), Version: 1}
	happened := &event{"session_planned", map[string]interface{}{"sessionDate": planned.date.UTC()}}
	return s.write(ctx, by, func(tx *transaction) (*answer, error) {
		if replay, err := tx.replay(ctx, by, asked); replay != nil || err != nil {
			return replay, err
		}
		tx.exec(insert, append(
			recordOf(by, planned.id, happened, asked, result),
			planned.date, planned.sets, planned.notes, planned.createdAt,
		)...)
		return result, tx.commit(ctx)
	})
}

// change needs two round trips.
func (s *store) change(ctx context.Context, by *caller, id uuid, c command) (*answer, error) {
	asked := by.fingerprint(c.name, formatUUID(id), c.asked)
	return s.write(ctx, by, func(tx *transaction) (*answer, error) {
		found := tx.readSession(lock, by.user, id)
		replay, err := tx.replay(ctx, by, asked)
		if replay != nil || err != nil {
			return replay, err
		}
		if by.key == nil {
			if err := tx.send(ctx); err != nil {
				return nil, err
			}
		}
		return tx.apply(ctx, by, found, c, asked)
	})
}

func (t *transaction) apply(
	ctx context.Context, by *caller, s *session, c command, asked []byte,
) (*answer, error) {
	if s.version == 0 {
		return nil, notFound()
	}
	moment := now()
	happened, err := c.decide(s, moment)
	if err != nil {
		return nil, err
	}
	if err := requireMatch(by.ifMatch, s.version); err != nil {
		return nil, err
	}
	if happened == nil {
		return &answer{Session: s.present(), Version: s.version}, nil
	}
	s.updatedAt = moment
	result := &answer{Session: s.present(), Version: s.version + 1}
	t.exec(change, append(
		recordOf(by, s.id, happened, asked, result),
		s.status, moment, s.version, s.startedAt, s.endedAt, s.date, s.sets, s.rpe, s.notes,
	)...)
	return result, t.commit(ctx)
}

// write tries again if another request has stored the key meanwhile.
func (s *store) write(
	ctx context.Context, by *caller, work func(*transaction) (*answer, error),
) (*answer, error) {
	var result *answer
	attempt := func() error {
		return s.within(ctx, by.user, func(tx *transaction) (err error) {
			result, err = work(tx)
			return err
		})
	}
	err := attempt()
	switch violated(err) {
	case oneEventPerKey:
		err = attempt()
	case oneInProgress:
		return nil, s.activeSessionExists(ctx, by.user)
	}
	return result, err
}

// replay sends the queued statements if there is a key; it returns nil for a new one.
func (t *transaction) replay(ctx context.Context, by *caller, asked []byte) (*answer, error) {
	if by.key == nil {
		return nil, nil
	}
	var fingerprint, snapshot []byte
	t.query(remembered, []interface{}{by.user, *by.key}, func(results pgx.BatchResults) error {
		err := results.QueryRow().Scan(&fingerprint, &snapshot)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err := t.send(ctx); err != nil || snapshot == nil {
		return nil, err
	}
	if !bytes.Equal(fingerprint, asked) {
		return nil, refuse("IDEMPOTENCY_KEY_REUSED", "The key was used for another command.")
	}
	kept := answer{replayed: true}
	return &kept, json.Unmarshal(snapshot, &kept)
}

func recordOf(by *caller, id uuid, happened *event, asked []byte, result *answer) []interface{} {
	var snapshot []byte
	if asked != nil {
		snapshot = mustMarshal(result)
	}
	return []interface{}{
		by.user, id, newUUID(), happened.kind, mustMarshal(happened.data), by.requestID, by.key,
		asked, snapshot,
	}
}

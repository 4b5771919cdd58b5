// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v4"
)

// position is the place of a session in the list.
type position struct {
	date time.Time
	id   uuid
}

// session needs one round trip, as the list does.
func (s *store) session(ctx context.Context, user, id uuid) (*session, error) {
	var found *session
	err := s.within(ctx, user, func(tx *transaction) error {
		found = tx.readSession(find, user, id)
		return tx.commit(ctx)
	})
	if err == nil && found.version == 0 {
		err = notFound()
	}
	return found, err
}

// list returns one session more than limit if others follow.
func (s *store) list(
	ctx context.Context, user uuid, limit int, after *position,
) ([]sessionDTO, error) {
	found := []sessionDTO{}
	statement, arguments := list, []interface{}{user, limit + 1}
	if after != nil {
		statement, arguments = listAfter, append(arguments, after.date, after.id)
	}
	err := s.within(ctx, user, func(tx *transaction) error {
		tx.query(statement, arguments, func(results pgx.BatchResults) error {
			rows, err := results.Query()
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var each session
				if err := rows.Scan(each.columns()...); err != nil {
					return err
				}
				found = append(found, each.present())
			}
			return rows.Err()
		})
		return tx.commit(ctx)
	})
	return found, err
}

func (s *store) activeSessionExists(ctx context.Context, user uuid) error {
	var id *uuid
	err := s.within(ctx, user, func(tx *transaction) error {
		tx.query(active, []interface{}{user}, func(results pgx.BatchResults) error {
			var found uuid
			err := results.QueryRow().Scan(&found)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // it has ended meanwhile
			}
			id = &found
			return err
		})
		return tx.commit(ctx)
	})
	if err != nil {
		return err
	}
	refused := refuse("ACTIVE_SESSION_EXISTS", "Another session is in progress.")
	refused.details["activeSessionId"] = nil
	if id != nil {
		refused.details["activeSessionId"] = formatUUID(*id)
	}
	return refused
}

func encodeCursor(last sessionDTO) string {
	var packed [24]byte
	id, _ := parseUUID(last.ID)
	binary.BigEndian.PutUint64(packed[:8], uint64(last.SessionDate.UnixMicro()))
	copy(packed[8:], id[:])
	return base64.RawURLEncoding.EncodeToString(packed[:])
}

func decodeCursor(text string) (*position, error) {
	packed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(packed) != 24 {
		return nil, invalid("The cursor is not valid.")
	}
	after := position{date: time.UnixMicro(int64(binary.BigEndian.Uint64(packed[:8])))}
	copy(after.id[:], packed[8:])
	return &after, nil
}

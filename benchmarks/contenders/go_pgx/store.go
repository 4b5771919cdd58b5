// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	oneInProgress  = "sessions_one_in_progress_idx"
	oneEventPerKey = "events_idempotency_key_idx"
)

type store struct{ pool *pgxpool.Pool }

func openStore(ctx context.Context, url string, size int) (*store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = int32(size), int32(size)
	parameters := config.ConnConfig.RuntimeParams
	parameters["lock_timeout"] = "2s"
	parameters["statement_timeout"] = "5s"
	parameters["idle_in_transaction_session_timeout"] = "10s"
	pool, err := pgxpool.ConnectConfig(ctx, config)
	return &store{pool}, err
}

func (s *store) close() { s.pool.Close() }

// transaction begins with the first statements that are sent, as the user.
type transaction struct {
	conn  *pgxpool.Conn
	batch pgx.Batch
	reads []func(pgx.BatchResults) error
	ended bool
}

// within rolls back, unless work has sent a COMMIT.
func (s *store) within(ctx context.Context, user uuid, work func(*transaction) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx := &transaction{conn: conn}
	tx.exec(beginTransaction)
	tx.exec(becomeService, formatUUID(user))
	err = work(tx)
	if !tx.ended {
		// A connection on which this fails is broken; the pool drops it.
		_, _ = conn.Exec(context.Background(), rollback)
	}
	return err
}

func (t *transaction) exec(statement string, arguments ...interface{}) {
	t.query(statement, arguments, func(results pgx.BatchResults) error {
		_, err := results.Exec()
		return err
	})
}

func (t *transaction) query(
	statement string, arguments []interface{}, read func(pgx.BatchResults) error,
) {
	t.batch.Queue(statement, arguments...)
	t.reads = append(t.reads, read)
}

// send sends the queued statements in one round trip.
func (t *transaction) send(ctx context.Context) error {
	results := t.conn.SendBatch(ctx, &t.batch)
	var first error
	for _, read := range t.reads {
		if first = read(results); first != nil {
			break
		}
	}
	if err := results.Close(); first == nil {
		first = err
	}
	t.batch, t.reads = pgx.Batch{}, nil
	return first
}

// commit sends the queued statements and COMMIT in one round trip.
func (t *transaction) commit(ctx context.Context) error {
	t.exec(commit)
	err := t.send(ctx)
	t.ended = err == nil
	return err
}

func (t *transaction) readSession(statement string, user, id uuid) *session {
	var found session
	t.query(statement, []interface{}{user, id}, func(results pgx.BatchResults) error {
		err := results.QueryRow().Scan(found.columns()...)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // its version stays 0
		}
		return err
	})
	return &found
}

// violated returns the name of the unique constraint that an error is about.
func violated(err error) string {
	var found *pgconn.PgError
	if errors.As(err, &found) && found.Code == "23505" {
		return found.ConstraintName
	}
	return ""
}

// now has the precision of the database.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

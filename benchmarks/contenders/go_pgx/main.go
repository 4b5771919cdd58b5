// SPDX-License-Identifier: MIT

// Command go_pgx serves training sessions with net/http and pgx, a transaction per request. The
// statements of a transaction are pipelined into one or two round trips.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	keepAlive = 75 * time.Second
	patience  = 10 * time.Second
)

func main() {
	workers, poolSize := number("WORKERS"), number("POOL_SIZE")
	runtime.GOMAXPROCS(workers)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	// One process has the connections of as many workers.
	store, err := openStore(ctx, os.Getenv("DATABASE_URL"), workers*poolSize)
	if err != nil {
		log.Fatal(err)
	}
	defer store.close()
	tokens, err := newTokens(os.Getenv("JWT_SECRET"), os.Getenv("JWKS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	serve(ctx, &http.Server{
		Addr:        net.JoinHostPort("127.0.0.1", os.Getenv("PORT")),
		Handler:     &api{store: store, tokens: tokens},
		IdleTimeout: keepAlive,
	})
}

// serve returns when the requests that had begun are answered.
func serve(ctx context.Context, server *http.Server) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Shutdown(limited); err != nil {
			log.Print(err)
		}
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-stopped
}

func number(name string) int {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return value
}

// SPDX-License-Identifier: MIT

package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"time"
)

type uuid = [16]byte

var requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// parseUUID accepts the canonical form only.
func parseUUID(text string) (uuid, bool) {
	var id uuid
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, false
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	_, err := hex.Decode(id[:], []byte(digits))
	return id, err == nil
}

func formatUUID(id uuid) string {
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// newUUID returns an id of version 7 (RFC 9562).
func newUUID() uuid {
	var id uuid
	if _, err := rand.Read(id[6:]); err != nil {
		panic(err)
	}
	var milliseconds [8]byte
	binary.BigEndian.PutUint64(milliseconds[:], uint64(time.Now().UnixMilli()))
	copy(id[:6], milliseconds[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

func requestIDOf(given string) string {
	if requestID.MatchString(given) {
		return given
	}
	return formatUUID(newUUID())
}

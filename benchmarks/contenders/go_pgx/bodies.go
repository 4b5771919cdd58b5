// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	bodyMaxBytes    = 80 * 1024
	setsMax         = 20
	repetitionsMax  = 1000
	rpeMax          = 10
	reasonMaxLength = 500
	notesMaxLength  = 2000
)

var forbidden = regexp.MustCompile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\u009f]")

type plan struct {
	Date  *time.Time `json:"sessionDate"`
	Sets  []*int16   `json:"sets"`
	Notes *string    `json:"notes"`
}

type completion struct {
	Sets []*int16 `json:"sets"`
	RPE  *int16   `json:"rpe"`
}

type failure struct {
	Reason *string `json:"reason"`
}

// update distinguishes a field that is absent from null, which clears it.
type update struct {
	completion
	Date             *time.Time `json:"sessionDate"`
	Notes            *string    `json:"notes"`
	HasRPE, HasNotes bool       `json:"-"`
}

// readBody refuses unknown fields; an absent body is an empty object.
func readBody(w http.ResponseWriter, r *http.Request, body interface{}) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMaxBytes))
	if err != nil {
		return nil, refuse("PAYLOAD_TOO_LARGE", "The body is too large.")
	}
	if len(text) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(body); err != nil {
		return nil, invalid("The body is not valid.")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("The body has more than one value.")
	}
	return text, nil
}

func readUpdate(w http.ResponseWriter, r *http.Request) (update, error) {
	var body update
	text, err := readBody(w, r, &body)
	if err != nil {
		return body, err
	}
	given := map[string]json.RawMessage{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &given); err != nil {
			return body, invalid("The body is not valid.")
		}
	}
	_, hasSets := given["sets"]
	_, hasDate := given["sessionDate"]
	_, body.HasRPE = given["rpe"]
	_, body.HasNotes = given["notes"]
	if len(given) == 0 || hasSets && body.Sets == nil || hasDate && body.Date == nil {
		return body, invalid("A field is missing.")
	}
	if err := checkNumbers(body.Sets, body.RPE); err != nil {
		return body, err
	}
	body.Notes, err = normalText(body.Notes, "NOTES", notesMaxLength)
	return body, err
}

func checkNumbers(sets []*int16, rpe *int16) error {
	if len(sets) > setsMax {
		return invalid("There are too many sets.")
	}
	for _, repetitions := range sets {
		if repetitions != nil && (*repetitions < 1 || *repetitions > repetitionsMax) {
			return invalid("The repetitions are out of range.")
		}
	}
	if rpe != nil && (*rpe < 1 || *rpe > rpeMax) {
		return invalid("The rate of perceived exertion is out of range.")
	}
	return nil
}

// normalText returns nil for an empty text. kind is REASON or NOTES.
func normalText(text *string, kind string, maxLength int) (*string, error) {
	if text == nil {
		return nil, nil
	}
	normal := strings.TrimSpace(norm.NFC.String(*text))
	if normal == "" {
		return nil, nil
	}
	if utf8.RuneCountInString(normal) > maxLength {
		return nil, invalid("The text is too long.")
	}
	if forbidden.MatchString(normal) {
		return nil, refuse("INVALID_"+kind, "The text contains what cannot be kept.")
	}
	return &normal, nil
}

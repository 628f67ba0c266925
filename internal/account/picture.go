package account

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Picture is the portrait of a person.
type Picture struct {
	ID        string // random, part of its address
	Kind      string // a media type
	Data      []byte
	CreatedAt time.Time
}

// PicturePath is the path of the addresses of pictures, which end in the picture's ID.
const PicturePath = "/account/pictures/"

// ChangePicture makes a portrait of an uploaded image and shows it to apps from now on. Its address
// is a new one each time, so that it can be cached for ever. Input: picture.
func (s *Server) ChangePicture(ctx context.Context, c Caller, upload []byte) error {
	made, err := s.portraits.Portrait(ctx, upload)
	if err != nil {
		return err
	}
	p := &Picture{ID: secret.NewToken(""), Kind: made.Kind, Data: made.Data, CreatedAt: c.Now}
	ev := c.event(audit.PictureChanged)
	return s.store.SetPicture(ctx, c.User.ID, p, s.cfg.BaseURL+PicturePath+p.ID, c.Now, ev)
}

// RemovePicture deletes the caller's picture.
func (s *Server) RemovePicture(ctx context.Context, c Caller) error {
	if c.User.Picture == "" {
		return nil
	}
	ev := c.event(audit.PictureChanged)
	ev.Detail = map[string]string{"picture": "removed"}
	return s.store.SetPicture(ctx, c.User.ID, nil, "", c.Now, ev)
}

// pictureID returns the ID of a picture of ours by its address, or "".
func pictureID(address string) string {
	_, id, _ := strings.Cut(address, PicturePath)
	return id
}

// Picture returns the picture with an ID, which whoever knows its address may see, or NotFound.
func (s *Server) Picture(ctx context.Context, id string) (*Picture, error) {
	if !secret.WellFormed("", id) {
		return nil, fault.New(fault.NotFound, "There is no picture at this address.")
	}
	return s.store.Picture(ctx, id)
}

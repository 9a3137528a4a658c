package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// ErrGiveUp ends the tries at once.
var ErrGiveUp = errors.New("give up")

// Do tries until work succeeds, the tries run out, or ctx ends.
func Do(ctx context.Context, tries int, work func() error) error {
	var err error
	for try := range tries {
		if err = work(); err == nil || errors.Is(err, ErrGiveUp) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause(try)):
		}
	}
	return err
}

// pause doubles from try to try up to ten seconds. Half of it is drawn by lot, so that clients that
// failed together do not all come back together.
func pause(try int) time.Duration {
	whole := min(100*time.Millisecond<<min(try, 10), 10*time.Second)
	return whole/2 + rand.N(whole/2)
}

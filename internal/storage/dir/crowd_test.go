package dir

import (
	"testing"
	"testing/synctest"
	"time"
)

// gathered is how long a gather took.
func gathered(c *crowd) time.Duration {
	began := time.Now()
	c.gather(nil)
	return time.Since(began)
}

// round has the crowd see a round that served some while others came.
func (c *crowd) round(served, meanwhile int, took time.Duration) {
	for range served {
		c.add()
	}
	n := c.begin()
	for range meanwhile {
		c.add()
	}
	c.end(n, took)
}

func TestCrowdMeets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(new(Stats))
		c.round(5, 3, time.Millisecond) // five were served while three came
		for i := range 5 {
			time.AfterFunc(time.Duration(i+1)*20*time.Microsecond, c.add)
		}
		if d := gathered(&c); d != 100*time.Microsecond {
			t.Errorf("the others were there after 100µs, the wait took %v", d)
		}
		if n := c.begin(); n != 8 {
			t.Errorf("the next round serves %d, want 8", n)
		}
	})
}

func TestCrowdWaitsInVainLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(new(Stats))
		waits := 0
		for i := range 1000 {
			c.round(1, 1, time.Millisecond)
			switch d := gathered(&c); {
			case d == time.Millisecond:
				waits++
			case d != 0:
				t.Fatalf("wait %d took %v", i, d)
			}
		}
		if waits != 13 { // before rounds 0, 2, 6, 14, 30, 62, 126, and then every 128th
			t.Errorf("waited %d times of 1,000 for somebody who never came, want 13", waits)
		}
		c.skip = 0
		c.round(0, 1, time.Millisecond)
		time.AfterFunc(time.Microsecond, c.add)
		if d := gathered(&c); d != time.Microsecond {
			t.Errorf("somebody came after 1µs, the wait took %v", d)
		}
		c.round(0, 1, time.Millisecond)
		if d := gathered(&c); d == 0 {
			t.Error("after a wait that was worth it the next was left out")
		}
	})
}

func TestCrowdDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(new(Stats))
		c.round(5, 0, time.Millisecond)
		if d := gathered(&c); d != 0 {
			t.Errorf("with nobody there it waited %v", d)
		}
		<-time.After(time.Millisecond)
		c.add()
		if d := gathered(&c); d != 0 {
			t.Errorf("long after the last round it waited %v", d)
		}
		c.round(1, 1, leastGather-1)
		if d := gathered(&c); d != 0 {
			t.Errorf("after a short round it waited %v", d)
		}
		c.round(1, 2, time.Hour)
		if d := gathered(&c); d != mostGather {
			t.Errorf("after a long round it waited %v, want %v", d, mostGather)
		}
	})
}

func TestCrowdStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(new(Stats))
		c.round(1, 1, time.Millisecond)
		stop := make(chan struct{})
		close(stop)
		began := time.Now()
		if c.gather(stop); time.Since(began) != 0 {
			t.Errorf("it went on for %v when the directory was closed", time.Since(began))
		}
	})
}

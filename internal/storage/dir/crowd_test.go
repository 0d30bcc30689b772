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
			c.round(3, 1, time.Millisecond)
			switch d := gathered(&c); {
			case d == 500*time.Microsecond:
				waits++
			case d != 0:
				t.Fatalf("wait %d took %v", i, d)
			}
		}
		if waits != 13 { // before rounds 0, 2, 6, 14, 30, 62, 126, and then every 128th
			t.Errorf("waited %d times of 1,000 for somebody who never came, want 13", waits)
		}
		c.skip = 0
		c.round(1, 1, time.Millisecond)
		for range 2 {
			time.AfterFunc(time.Microsecond, c.add)
		}
		if d := gathered(&c); d != time.Microsecond {
			t.Errorf("both came after 1µs, the wait took %v", d)
		}
		c.round(1, 1, time.Millisecond)
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
		c.begin()
		c.round(1, 1, time.Millisecond)
		if d := gathered(&c); d != 0 {
			t.Errorf("for a single one it waited %v", d)
		}
		c.round(5, 0, time.Millisecond)
		<-time.After(500 * time.Microsecond)
		c.add()
		if d := gathered(&c); d != 0 {
			t.Errorf("long after the last round it waited %v", d)
		}
		c.round(3, 1, 2*leastGather-1)
		if d := gathered(&c); d != 0 {
			t.Errorf("after a short round it waited %v", d)
		}
		c.round(3, 2, time.Hour)
		if d := gathered(&c); d != mostGather {
			t.Errorf("after a long round it waited %v, want %v", d, mostGather)
		}
	})
}

func TestCrowdStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(new(Stats))
		c.round(1, 1, time.Millisecond)
		c.round(1, 1, time.Millisecond)
		stop := make(chan struct{})
		close(stop)
		began := time.Now()
		if c.gather(stop); time.Since(began) != 0 {
			t.Errorf("it went on for %v when the directory was closed", time.Since(began))
		}
	})
}

// commit runs rounds of 400 µs until so much time has passed, and tells how many there were and how long they waited. served hears how many each served, at its end.
func (c *crowd) commit(until time.Duration, served func(n int)) (rounds int, waited time.Duration) {
	for began := time.Now(); time.Since(began) < until; {
		if c.appends.Load() == c.taken {
			<-time.After(time.Microsecond)
			continue
		}
		waited += gathered(c)
		n := c.begin()
		<-time.After(400 * time.Microsecond)
		c.end(n, 400*time.Microsecond)
		served(int(n))
		rounds++
	}
	return rounds, waited
}

// TestCrowdBringsGroupsTogether: two groups of clients that send again when they are answered become one.
func TestCrowdBringsGroupsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(new(Stats))
		send := func(n int, after time.Duration) {
			for range n {
				time.AfterFunc(after, c.add)
			}
		}
		send(5, 0)
		send(5, 100*time.Microsecond)
		total := 0
		rounds, _ := c.commit(200*time.Millisecond, func(n int) {
			total += n
			send(n, 80*time.Microsecond)
		})
		if per := float64(total) / float64(rounds); per < 9.8 {
			t.Errorf("%d rounds served %d of 10 clients, %.1f each", rounds, total, per)
		}
	})
}

// TestCrowdDoesNotDelayStrangers: those who send when they like are hardly waited for.
func TestCrowdDoesNotDelayStrangers(t *testing.T) {
	for _, every := range []time.Duration{20 * time.Microsecond, 130 * time.Microsecond, 310 * time.Microsecond, 700 * time.Microsecond} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(new(Stats))
			stop := make(chan struct{})
			go func() {
				for tick := time.NewTicker(every); ; {
					select {
					case <-tick.C:
						c.add()
					case <-stop:
						return
					}
				}
			}()
			_, waited := c.commit(200*time.Millisecond, func(int) {})
			close(stop)
			if waited > 5*time.Millisecond {
				t.Errorf("one each %v: rounds waited %v in 200 ms", every, waited)
			}
		})
	}
}

/** Guesses: where they come from, how they travel, and what a head and an origin make of them. */
import { describe, expect, it } from 'vitest'
import { encodeControl, frame } from '../../../src/net/index.ts'
import { chosenTokens, isVoid, tokenControl } from '../../../src/pipeline/host/choosing.ts'
import type { Job } from '../../../src/pipeline/host/jobs.ts'
import { RUN } from '../../../src/pipeline/host/protocol.ts'
import { createSampler } from '../../../src/pipeline/host/sampler.ts'
import { GREEDY } from '../../../src/pipeline/index.ts'
import { MAX_UNREAD } from '../../../src/pipeline/origin/follower.ts'
import { SessionText } from '../../../src/pipeline/origin/session-text.ts'
import { ForcedGuesses } from '../../../src/pipeline/origin/speculation/forced.ts'
import { Lookup } from '../../../src/pipeline/origin/speculation/lookup.ts'
import { Window } from '../../../src/pipeline/origin/speculation/window.ts'
import { GUESS_KEY_BYTES, openGuesses, sealGuesses } from '../../../src/pipeline/ring/guesses.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'
import { systemRandom } from '../../../src/util/index.ts'

describe('looked up in the text', () => {
  const after = (ids: readonly number[]): Lookup => {
    const lookup = new Lookup()
    for (const id of ids) lookup.push(id)
    return lookup
  }

  it('is what followed the same tokens before, the longest match first', () => {
    expect(after([1, 2, 3, 9, 3, 8, 1, 2, 3]).guess(3)).toEqual({ ids: [9, 3, 8], match: 3 })
    expect(after([1, 2, 3]).guess(3)).toBeUndefined()
    expect(after([]).guess(3)).toBeUndefined()
    expect(after([1, 2, 1]).guess(0)).toBeUndefined()
  })

  it('goes on with a text that repeats itself', () => {
    expect(after([5, 6, 5, 6, 5]).guess(6)!.ids).toEqual([6, 5, 6, 5, 6, 5])
    expect(after([7, 7]).guess(4)!.ids).toEqual([7, 7, 7, 7])
  })
})

describe('how many go with a step', () => {
  const plain = (window: Window, ms: number, steps: number): void => {
    for (let step = 0; step < steps; step++) window.plain(ms)
  }

  it('none before it is known what a step takes', () => {
    const window = new Window()
    expect(window.size(8)).toBe(0)
    plain(window, 10, 2)
    expect(window.size(8)).toBeGreaterThan(0)
    window.restart()
    expect(window.size(8)).toBe(0)
  })

  it('many where a row costs little of a step and guesses come true, few where it costs much', () => {
    const sizes = [0.05, 0.5].map((share) => {
      const window = new Window()
      plain(window, 10, 5)
      for (let step = 0; step < 12; step++) window.guessed({ ms: 10 + 10 * share * 4, guesses: 4, right: 4, match: 8 })
      return window.size(8)
    })
    expect(sizes[0]).toBe(15)
    expect(sizes[1]).toBeLessThan(sizes[0]!)
  })

  it('costs an unlucky text at most 3 % and two steps, however many it could make', () => {
    const window = new Window()
    let [spent, tokens] = [0, 0]
    for (let step = 0; step < 2_000; step++) {
      const size = window.size(1 + (step % 8))
      const ms = 10 + 8 * size
      if (size === 0) window.plain(ms)
      else window.guessed({ ms, guesses: size, right: 0, match: 1 + (step % 8) })
      spent += ms
      tokens++
    }
    expect(spent).toBeLessThan(10 * tokens * 1.03 + 20 + 8 * 15)
  })

  it('comes back when guesses come true again', () => {
    const window = new Window()
    plain(window, 10, 5)
    for (let step = 0; step < 30 && window.size(1) + window.size(8) > 0; step++)
      window.guessed({ ms: 60, guesses: 5, right: 0, match: 8 })
    expect(window.size(8)).toBe(0)
    // It sees that they would, and had lost little enough by now.
    for (let step = 0; step < 2_000; step++) window.plain(10, 8, true)
    expect(window.size(8)).toBeGreaterThan(0)
  })
})

describe('on their way', () => {
  const key = systemRandom().bytes(GUESS_KEY_BYTES)

  it('are read by whoever has the key, for the position that they are for, and whole', () => {
    const sealed = sealGuesses(key, systemRandom(), 40, { ids: [7, 8, 9] })
    expect(openGuesses(key, 40, sealed)).toEqual({ ids: [7, 8, 9] })
    expect(openGuesses(key, 41, sealed)).toBeUndefined()
    expect(openGuesses(systemRandom().bytes(GUESS_KEY_BYTES), 40, sealed)).toBeUndefined()
    const wrong = Uint8Array.from(sealed, (byte, at) => (at === sealed.length - 3 ? byte ^ 1 : byte))
    expect(openGuesses(key, 40, wrong)).toBeUndefined()
  })

  it('say what they stand behind where they are chained, also when that is all', () => {
    for (const ids of [[7, 8], []]) {
      const sealed = sealGuesses(key, systemRandom(), 40, { ids, behind: 6 })
      expect(openGuesses(key, 40, sealed)).toEqual({ ids, behind: 6 })
      expect(openGuesses(key, 41, sealed)).toBeUndefined()
    }
    expect(openGuesses(key, 40, sealGuesses(key, systemRandom(), 40, { ids: [] }))).toBeUndefined()
  })

  it.each([[new Uint8Array(0)], [encodeControl({ guesses: new Uint8Array(5) })], [encodeControl({ guesses: 7 })]])(
    'are nothing when they are no guesses',
    (control) => expect(openGuesses(key, 0, control)).toBeUndefined(),
  )
})

describe('at the head', () => {
  const vocabulary = 50
  const rows = Array.from({ length: 6 }, (_, row) =>
    Float32Array.from({ length: vocabulary }, (_each, id) => Math.sin(id * 7.3 + row * 2.1) * 3),
  )
  const sampling = { ...GREEDY, temperature: 0.8, repetitionPenalty: 1.3, presencePenalty: 0.4, seed: 5 }
  const jobOf = (guesses: readonly number[]): Job => {
    const sampler = createSampler({ sampling, logprobs: 2, history: [1, 2] })
    const session = { sampler, chosen: new Map() } as unknown as Job['session']
    const message = frame({ type: 5, position: 10 })
    return { session, frame: message, count: guesses.length + 1, guesses } as unknown as Job
  }
  const plain = createSampler({ sampling, logprobs: 2, history: [1, 2] })
  const expected = rows.map((row, at) => plain.sample(row, 11 + at))
  const ids = expected.map(({ id }) => id)

  it('tokens are those of a head without guesses, as far as these are right, and one more', async () => {
    expect(await chosenTokens(jobOf(ids.slice(0, 5)), rows)).toEqual(expected)
    for (const right of [0, 2, 4]) {
      const guesses = ids.slice(0, 5).with(right, -1)
      expect(await chosenTokens(jobOf(guesses), rows)).toEqual(expected.slice(0, right + 1))
    }
  })

  it('what was chosen is not chosen again when it is asked for again: penalties count it once', async () => {
    const job = jobOf(ids.slice(0, 5))
    await chosenTokens(job, rows)
    const again = { ...job, frame: frame({ type: 5, position: 12 }), count: 1, guesses: [] }
    expect(await chosenTokens(again, [rows[2]!])).toEqual([expected[2]])
    const next = { ...job, frame: frame({ type: 5, position: 16 }), count: 1, guesses: [] }
    expect(await chosenTokens(next, [rows[0]!])).toEqual([plain.sample(rows[0]!, 17)])
  })

  it('a window holds behind what was chosen there, and behind nothing else', () => {
    const job = { ...jobOf([]), behind: 4 }
    expect(isVoid(job)).toBe(true)
    job.session.chosen.set(9, { id: 5 })
    expect(isVoid(job)).toBe(true)
    job.session.chosen.set(9, { id: 4 })
    expect(isVoid(job)).toBe(false)
    expect(isVoid(jobOf([]))).toBe(false)
  })

  it('says which row the first of them follows, also where one came alone', () => {
    expect(tokenControl(jobOf([3, 4]), [{ id: 9 }])).toEqual({ first: 10, chains: true })
    expect(tokenControl(jobOf([]), [{ id: 9 }])).toEqual({})
    expect(tokenControl({ ...jobOf([]), behind: 8 }, [{ id: 9 }])).toEqual({ first: 10, chains: true })
  })
})

describe('at the origin', () => {
  const textOf = (limit: number, endTokens: readonly number[] = []) => {
    const seen: string[] = []
    const steps = {
      next: (id: number, position: number) => void seen.push(`next ${id} at ${position}`),
      guessed: (id: number, position: number) => void seen.push(`guessed ${id} at ${position}`),
      came: (row: number, ids: readonly number[]) => void seen.push(`came ${ids.join()} behind ${row}`),
    }
    return { text: new SessionText({ start: 10, limit, endTokens: new Set(endTokens) }, steps), seen }
  }
  const said = (position: number, rows: number, ids: readonly number[]) =>
    frame({
      type: RING.token,
      flags: RUN.token,
      position,
      rows,
      dims: [ids.length],
      payload: new Uint8Array(Int32Array.from(ids).buffer),
    })

  it('several tokens of a step count one by one, and the step behind the last is given', async () => {
    const { text, seen } = textOf(100)
    expect(text.token(said(0, 10, [5]), {})).toBe(true)
    expect(text.token(said(10, 4, [6, 7, 8]), { first: 10 })).toBe(true)
    expect(text.tokens).toEqual([5, 6, 7, 8])
    expect(seen).toEqual([
      'came 5 behind 9',
      'next 5 at 10',
      'guessed 5 at 10',
      'came 6,7,8 behind 10',
      'guessed 6 at 11',
      'guessed 7 at 12',
      'next 8 at 13',
    ])
    expect(await text.take()).toMatchObject({ token: { id: 5 } })
    expect(await text.take()).toMatchObject({ token: { id: 6, together: 3 } })
    // Said again after a reroute: what is new of it counts.
    expect(text.token(said(10, 4, [6, 7, 8]), { first: 10 })).toBe(true)
    expect(text.token(said(12, 4, [8, 9, 4]), { first: 12 })).toBe(true)
    expect(text.tokens).toEqual([5, 6, 7, 8, 9, 4])
  })

  it('a row that waits for the reader is there when tokens of windows behind it come', async () => {
    const { text, seen } = textOf(1_000)
    text.token(said(0, 10, [5]), {})
    for (let row = 10; row < 10 + MAX_UNREAD; row++) text.token(said(row, 1, [row]), {})
    const { length } = seen
    // Nobody reads, so the row behind this one is not given; but it was, as a guess.
    text.token(said(42, 1, [90]), {})
    expect(seen.slice(length).filter((what) => what.startsWith('next'))).toEqual([])
    text.token(said(43, 3, [91, 92]), { first: 43 })
    expect(seen.slice(length)).toContain('guessed 90 at 43')
    for (let read = 0; read < 40 && seen.at(-1) !== 'next 92 at 45'; read++) await text.take()
    expect(seen.filter((what) => what.startsWith('next 9'))).toEqual(['next 92 at 45'])
  })

  it('nothing follows an end token, or the last that is wanted', () => {
    const ended = textOf(100, [7])
    ended.text.token(said(0, 10, [5]), {})
    ended.text.token(said(10, 4, [6, 7, 8]), { first: 10 })
    expect(ended.text.tokens).toEqual([5, 6, 7])
    expect(ended.seen.at(-1)).toBe('guessed 6 at 11')
    const short = textOf(2)
    short.text.token(said(0, 10, [5]), {})
    short.text.token(said(10, 4, [6, 7, 8]), { first: 10 })
    expect(short.text.tokens).toEqual([5, 6])
  })

  it('what no head says is out of turn', () => {
    const { text } = textOf(100)
    text.token(said(0, 10, [5]), {})
    expect(text.token(said(11, 4, [6]), { first: 11 })).toBe(false)
    expect(text.token(said(10, 2, [6, 7, 8]), { first: 10 })).toBe(false)
    expect(text.token(said(10, 4, []), { first: 10 })).toBe(false)
    expect(text.token(said(10, 4, [6]), { first: 9 })).toBe(false)
  })
})

describe('tokens that are given', () => {
  const forced = { from: 3, ids: [7, 8, 9] }
  const logits = Float32Array.from({ length: 16 }, (_, id) => (id === 2 ? 4 : 0))

  it('are what the head chooses, with their likelihood, and count for no penalty of what follows', () => {
    const sampling = { ...GREEDY, presencePenalty: 10 }
    const [given, plain] = [forced, undefined].map((tokens) =>
      createSampler({ sampling, logprobs: 1, history: [], ...(tokens === undefined ? {} : { forced: tokens }) }),
    )
    const told = [3, 4, 5].map((position) => given!.sample(logits, position))
    expect(told.map(({ id }) => id)).toEqual([7, 8, 9])
    expect(told[0]!.logprob).toBeCloseTo(-Math.log(Math.exp(4) + 15), 12)
    expect(told[0]!.top).toEqual([{ id: 2, logprob: expect.closeTo(4 - Math.log(Math.exp(4) + 15), 12) }])
    expect(given!.sample(logits, 6)).toEqual(plain!.sample(logits, 6))
  })

  it('go in windows that are chained as soon as the head takes that, and end with what is wanted', () => {
    const ids = Array.from({ length: 40 }, (_, index) => index)
    const windows = (limit: number): (readonly number[])[] => {
      const guesses = new ForcedGuesses({
        forced: { from: 1, ids },
        follow: { start: 1, limit },
        after: undefined,
        count: () => undefined,
      })
      guesses.came(0, [0], { busyMs: 1, chains: true })
      const first = guesses.next(1) as readonly number[]
      const rest: (readonly number[])[] = []
      for (let more = guesses.further(); more !== undefined; more = guesses.further())
        rest.push([more.behind!, ...more.ids])
      return [first, ...rest]
    }
    // The row of the last token is given only where something is to follow it.
    expect(windows(40).flat()).toEqual(ids.slice(1, 39))
    expect(windows(41).flat()).toEqual(ids.slice(1))
    expect(windows(40).map(({ length }) => length)).toEqual([15, 16, 7])
  })

  it('are given again from where an attempt stands', () => {
    const guesses = new ForcedGuesses({
      forced: { from: 1, ids: [4, 5, 6, 7] },
      follow: { start: 1, limit: 4 },
      after: undefined,
      count: () => undefined,
    })
    guesses.came(0, [4], { busyMs: 1, chains: true })
    expect(guesses.next(1)).toEqual([5, 6])
    guesses.restart()
    expect(guesses.isUnderWay(1)).toBe(false)
    expect(guesses.next(2)).toEqual([6])
    expect(guesses.further()).toBeUndefined()
  })
})

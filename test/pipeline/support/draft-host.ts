/** A small model beside an answer, in time that is moved by hand: it guesses with some luck, a run after the other. */
import { expect } from 'vitest'
import { DTYPE, encodeControl, frame } from '../../../src/net/index.ts'
import type { Frame } from '../../../src/net/index.ts'
import { Draft } from '../../../src/pipeline/draft/draft.ts'
import type { DraftInit } from '../../../src/pipeline/draft/draft.ts'
import { HOST, RUN } from '../../../src/pipeline/host/protocol.ts'
import type { handClock } from './hand-clock.ts'

const WRONG = 999_999

/** The same places each time. */
const chance = (position: number): number => ((Math.imul(position, 0x9e3779b1) >>> 8) % 1000) / 1000

export interface Luck {
  /** Milliseconds of a guess. */
  readonly guess: number
  /** That a guess is right. */
  readonly share: number
}

/** @param truth what the model says at a position */
export function draftHost(
  clock: ReturnType<typeof handClock>,
  { guess, share }: Luck,
  truth: (position: number) => number,
) {
  const seen: Frame[] = []
  const rows: number[] = []
  let draft: Draft | undefined
  const answer = (init: Partial<Frame> & Pick<Frame, 'type'>): void => draft?.receive(frame(init))
  const send = (message: Frame): Promise<void> => {
    seen.push(message)
    if (message.type === HOST.open) clock.after(0, () => answer({ type: HOST.opened }))
    if (message.type !== HOST.run) return Promise.resolve()
    const ids = new Int32Array(message.payload.slice().buffer)
    expect(message.position === rows.length || (message.flags & RUN.rewind) !== 0).toBe(true)
    rows.length = message.position
    rows.push(...ids)
    const next = rows.length
    const isTrue = rows.every((id, at) => id === truth(at)) && chance(next) < share
    const payload = new Uint8Array(Int32Array.of(isTrue ? truth(next) : WRONG).buffer)
    const wanted = (message.flags & RUN.token) !== 0
    const token = { type: HOST.token, dtype: DTYPE.i32, dims: [1], payload, control: encodeControl({ lead: 2.5 }) }
    clock.after(guess, () => answer(wanted ? token : { type: HOST.taken }))
    return Promise.resolve()
  }
  const open = (init: DraftInit): Draft => {
    draft = new Draft({ clock, send, number: 1, ended: () => undefined }, init)
    return draft
  }
  return { seen, open, isBusy: () => draft?.isBusy === true }
}

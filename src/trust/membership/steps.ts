/**
 * Long work on a log, in steps: done at once by whoever has nothing else to do, and gently by a peer that serves others
 * meanwhile. A step yields a page of entries whose signatures it is going to ask for, one step later: while a page is
 * worked on, the signatures of the next are checked in the thread pool.
 */
import { checkAhead } from './signatures.ts'
import type { Entry } from './types.ts'

export type Steps<T> = Generator<readonly Entry[], T, void>

/** A page holds up the event loop for some milliseconds, and the thread pool for some more. */
const PAGE = { entries: 200, signatures: 256, bytes: 1 << 20 } as const

/** All steps, one behind the other. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

const never = (): boolean => false

/** With room for others between the steps. Undefined: `isOver` has said that nobody needs it any more. */
export function gently<T>(steps: Steps<T>): Promise<T>
export function gently<T>(steps: Steps<T>, isOver: () => boolean): Promise<T | undefined>
export async function gently<T>(steps: Steps<T>, isOver = never): Promise<T | undefined> {
  let before = Promise.resolve()
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    const ahead = step.value.length === 0 ? undefined : checkAhead(step.value)
    await before
    await new Promise(setImmediate)
    before = ahead ?? Promise.resolve()
    if (isOver()) return undefined
  }
}

/** Small enough pages of entries, which are made when they are asked for. */
export function* pagesOf(entries: Iterable<Entry>): Generator<readonly Entry[], void, void> {
  let page: Entry[] = []
  let [signatures, bytes] = [0, 0]
  for (const entry of entries) {
    page.push(entry)
    signatures += entry.signatures.length
    bytes += entry.bytes.length
    if (page.length < PAGE.entries && signatures < PAGE.signatures && bytes < PAGE.bytes) continue
    yield page
    page = []
    signatures = bytes = 0
  }
  if (page.length > 0) yield page
}

/** `work` with each, in order. */
export function* forEach(entries: Iterable<Entry>, work: (entry: Entry) => void): Steps<void> {
  let before: readonly Entry[] = []
  for (const page of pagesOf(entries)) {
    yield page
    for (const entry of before) work(entry)
    before = page
  }
  yield []
  for (const entry of before) work(entry)
}

/** All of them in a list, where nobody is going to ask for their signatures. */
export function* listOf(entries: Iterable<Entry>): Steps<Entry[]> {
  const all: Entry[] = []
  for (const page of pagesOf(entries)) {
    all.push(...page)
    yield []
  }
  return all
}

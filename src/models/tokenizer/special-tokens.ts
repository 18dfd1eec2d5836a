/**
 * Finds the special tokens in a text, as llama.cpp does it: the longest token (in UTF-8 bytes) takes its places first,
 * from the left, then the next in what remains. One pass over the text finds the candidates, so that thousands of
 * user-defined tokens cost no more than one.
 */
import type { SpecialToken } from './vocabulary.ts'

export interface SpecialSpan {
  readonly id: number
  /** UTF-16 offsets of the token's text: [start, end). */
  readonly start: number
  readonly end: number
}

/** Decides whether the token that stands at [start, end) counts there; asked for all but user-defined tokens. */
export type Admission = (start: number, end: number) => boolean

export interface SpecialFinder {
  /** Places of special tokens, from the left. */
  find(text: string, admits: Admission): SpecialSpan[]
}

interface Candidate extends SpecialToken {
  readonly bytes: number
  /** The longest other token that begins this one. */
  shorter: Candidate | undefined
}

interface Place {
  readonly start: number
  readonly token: Candidate
}

interface Node {
  readonly next: Map<number, Node>
  token: Candidate | undefined
}

export function createSpecialFinder(tokens: readonly SpecialToken[]): SpecialFinder {
  const root: Node = { next: new Map(), token: undefined }
  for (const token of tokens) insert(root, { ...token, bytes: Buffer.byteLength(token.text), shorter: undefined })
  linkShorter(root, undefined)
  return {
    find(text, admits) {
      const longest = (start: number, token: Candidate | undefined): Candidate | undefined => {
        let candidate = token
        while (candidate !== undefined && !candidate.userDefined && !admits(start, start + candidate.text.length)) {
          candidate = candidate.shorter
        }
        return candidate
      }
      const places = new Map<number, Place[]>()
      for (let start = 0; start < text.length; start++) {
        const token = longest(start, deepest(root, text, start))
        if (token !== undefined) propose(places, { start, token })
      }
      return places.size === 0 ? [] : choose(places, text.length, longest)
    },
  }
}

/** Of two tokens with the same text the first counts. */
function insert(root: Node, token: Candidate): void {
  let node = root
  for (let i = 0; i < token.text.length; i++) {
    const unit = token.text.charCodeAt(i)
    let child = node.next.get(unit)
    if (child === undefined) node.next.set(unit, (child = { next: new Map(), token: undefined }))
    node = child
  }
  node.token ??= token
}

function linkShorter(node: Node, above: Candidate | undefined): void {
  if (node.token !== undefined) node.token.shorter = above
  for (const child of node.next.values()) linkShorter(child, node.token ?? above)
}

function deepest(root: Node, text: string, start: number): Candidate | undefined {
  let found: Candidate | undefined
  let node = root.next.get(text.charCodeAt(start))
  for (let end = start + 1; node !== undefined; end++) {
    found = node.token ?? found
    node = end < text.length ? node.next.get(text.charCodeAt(end)) : undefined
  }
  return found
}

function propose(places: Map<number, Place[]>, place: Place): void {
  const same = places.get(place.token.bytes)
  if (same === undefined) places.set(place.token.bytes, [place])
  else same.push(place)
}

function choose(
  places: Map<number, Place[]>,
  length: number,
  longest: (start: number, token: Candidate | undefined) => Candidate | undefined,
): SpecialSpan[] {
  const taken = new Uint8Array(length)
  const spans: SpecialSpan[] = []
  for (let bytes = Math.max(...places.keys()); bytes > 0; bytes--) {
    const due = places.get(bytes)?.sort((a, b) => a.token.id - b.token.id || a.start - b.start) ?? []
    for (const { start, token } of due) {
      const end = start + token.text.length
      // What was placed before is at least as long, so it shows at one of the two ends if it overlaps.
      if (taken[start] === 1) continue
      if (taken[end - 1] === 1) {
        const shorter = longest(start, token.shorter)
        if (shorter !== undefined) propose(places, { start, token: shorter })
        continue
      }
      taken.fill(1, start, end)
      spans.push({ id: token.id, start, end })
    }
  }
  return spans.sort((a, b) => a.start - b.start)
}

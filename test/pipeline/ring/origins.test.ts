/** Who may say what of a session to its origin: each stage for itself, and the head alone what was chosen. */
import { beforeEach, expect, it } from 'vitest'
import { DTYPE, encodeControl, frame } from '../../../src/net/index.ts'
import { Origins } from '../../../src/pipeline/ring/origins.ts'
import type { OriginListener } from '../../../src/pipeline/ring/origins.ts'
import { RING } from '../../../src/pipeline/ring/protocol.ts'

const ROUTE = ['A', 'M', 'HEAD', 'M']
const LAST = 3
const REQUEST = 5

let heard: string[]
let counted: string[]
let origins: Origins

beforeEach(() => {
  heard = []
  counted = []
  origins = new Origins((name) => counted.push(name))
  const listener: OriginListener = {
    attempt: 0,
    route: { peers: new Set(ROUTE), answering: LAST, peerAt: (hop) => ROUTE[hop] },
    opened: (hop) => heard.push(`opened ${hop}`),
    rerouted: (hop) => heard.push(`rerouted ${hop}`),
    token: ({ hop }) => heard.push(`token ${hop}`),
    taken: ({ hop }) => heard.push(`taken ${hop}`),
    accounted: ({ hop }) => heard.push(`accounted ${hop}`),
    failed: (hop) => heard.push(`failed ${hop}`),
    broken: (hop) => heard.push(`broken ${hop}`),
    leaving: (hop) => heard.push(`leaving ${hop}`),
    lost: (peer) => heard.push(`lost ${peer}`),
  }
  origins.listen(REQUEST, 'model', listener)
})

const token = { dtype: DTYPE.i32, dims: [1], payload: new Uint8Array(4), rows: 1 }
const SAID = [
  ['opened', RING.opened, { pid: 1 }],
  ['rerouted', RING.rerouted, { taken: 1 }],
  ['accounted', RING.accounted, { position: 0, count: 0 }],
  ['failed', RING.error, { code: 'WEFT-INF-021', message: 'x', why: null, hint: null, details: {} }],
  ['broken', RING.broken, { peer: 'HEAD', why: 'x' }],
  ['leaving', RING.leaving, {}],
] as const
const say = (from: string, hop: number, type: number, control: object): void =>
  origins.receive(from, frame({ ...token, type, request: REQUEST, hop, control: encodeControl(control) }))

it.each(SAID)('%s is heard of the hop of the peer that says it, and of no other', (what, type, control) => {
  say('M', 1, type, control)
  say('M', 3, type, control)
  for (const hop of [0, 2, 4, 65_535]) say('M', hop, type, control)
  say('stranger', 1, type, control)
  expect(heard).toEqual([`${what} 1`, `${what} 3`])
  expect(counted).toEqual(Array.from({ length: 5 }, () => 'frames_refused'))
})

it.each([
  ['token', RING.token],
  ['taken', RING.taken],
] as const)('%s is heard of the last hop alone', (what, type) => {
  say('HEAD', 2, type, {})
  say('M', 1, type, {})
  say('HEAD', LAST, type, {})
  say('M', LAST, type, {})
  expect(heard).toEqual([`${what} ${LAST}`])
})

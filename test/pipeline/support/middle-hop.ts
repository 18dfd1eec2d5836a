/** A hop in the middle of a route of three, whose host is never asked anything. */
import { tmpdir } from 'node:os'
import type { StageHost } from '../../../src/pipeline/host/stage-host.ts'
import { Hop } from '../../../src/pipeline/ring/hop.ts'
import { KeptRows } from '../../../src/pipeline/ring/kept-rows.ts'
import type { Link } from '../../../src/pipeline/ring/links.ts'

export const ORIGIN: Link = { peer: 'a', send: () => Promise.resolve() }

export function middleHop(): Hop {
  return new Hop({
    origin: ORIGIN,
    request: 5,
    attempt: 0,
    digest: 'model',
    place: 1,
    route: ['a', 'b', 'c'].map((peer, at) => ({ peer, from: at, to: at + 1 })),
    host: {} as StageHost,
    local: 1,
    kept: new KeptRows({ directory: tmpdir(), name: 'unused' }),
    shadow: false,
  })
}

/** What people read of placements that stand. */
import { expect, it } from 'vitest'
import { placementsTable, replanText, runningLines } from '../../src/cli/living-view.ts'
import type { PeerStatus, PlacementView, ReplanStatus } from '../../src/peer/index.ts'

const NAMES = new Map([
  ['A', 'ada'],
  ['B', 'bob'],
])
const stages = (peer: string): PlacementView['stages'] => [
  { peer: 'origin', from: 0, to: 1 },
  { peer, from: 1, to: 7 },
  { peer: 'origin', from: 7, to: 8 },
]
const replan = (more: Partial<ReplanStatus> = {}): ReplanStatus => ({
  mode: 'on',
  action: 'keep',
  held_by: 'quiet',
  wait_s: 12,
  target: stages('B'),
  now_ms: 40,
  then_ms: 10,
  gain: 0.75,
  bytes: 5e6,
  seconds: 3.2,
  payback_s: 90,
  deciders: ['A'],
  ...more,
})
const view = (more: Partial<PlacementView> = {}): PlacementView => ({
  model: 'tiny',
  digest: 'd',
  epoch: 4,
  author: 'A',
  pinned: false,
  stages: stages('A'),
  replicas: [],
  coverage: { blocks: [], single: [[1, 7]], last: [] },
  replan: replan(),
  ...more,
})

it('says why something better waits, and what it would take', () => {
  expect(runningLines(view(), NAMES)).toEqual([
    'tiny: origin[0:1] -> ada[1:7] -> origin[7:8] (chosen, epoch 4)',
    'better: origin[0:1] -> bob[1:7] -> origin[7:8]',
    'a token: 40 ms now, 10 ms then, 75 % sooner',
    'it takes: 4.8 MiB and 4 s, paid back in 90 s of use',
    'moves: waits for quiet, 12 s more (origin[0:1] -> bob[1:7] -> origin[7:8], 75 % sooner)',
    '! tiny: one peer alone has 1:7 ready',
  ])
})

it.each<[string, Partial<ReplanStatus>]>([
  ['never: it was placed by hand', { held_by: 'pinned', target: null, wait_s: 0 }],
  ['nothing is better', { held_by: 'best', target: null, wait_s: 0 }],
  [
    'preview: will be prepared (origin[0:1] -> bob[1:7] -> origin[7:8], 75 % sooner)',
    { mode: 'preview', action: 'prepare', held_by: null, wait_s: 0 },
  ],
])('%s', (text, more) => {
  expect(replanText(view({ replan: replan(more) }), NAMES)).toBe(text)
})

it('shows one line a placement, and none where nothing is known of its moves', () => {
  const peer = { id: 'A', name: 'ada' }
  const status = { peer, peers: [{ id: 'B', name: 'bob' }], placements: [view({ replan: null, pinned: true })] }
  expect(placementsTable(status as unknown as PeerStatus)).toEqual([
    expect.stringContaining('PLACEMENT'),
    expect.stringMatching(/^tiny +origin\[0:1\] -> ada\[1:7\] -> origin\[7:8\] +by hand +-$/),
    '! tiny: one peer alone has 1:7 ready',
  ])
})

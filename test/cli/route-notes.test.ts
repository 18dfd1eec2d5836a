/** What stands beside a text whose route changes. */
import { expect, it } from 'vitest'
import { noteRoute } from '../../src/cli/route-notes.ts'
import type { GenerateEvent } from '../../src/pipeline/index.ts'

const REROUTE: Extract<GenerateEvent, { type: 'reroute' }> = {
  type: 'reroute',
  attempt: 1,
  lost: ['12D3KooWlostAA'],
  route: [
    { peer: '12D3KooWorigin', pid: 1, from: 0, to: 1 },
    { peer: '12D3KooWotherB', pid: 2, from: 1, to: 3 },
  ],
  replayed_rows: 1,
  exact: true,
}

function notes(event: GenerateEvent): string[] {
  const lines: string[] = []
  noteRoute({ note: (line) => lines.push(line) }, event)
  return lines
}

it('names who was lost, the route and the rows, and says when the text may differ', () => {
  const line = 'lost lostAA in mid-answer; it goes on over origin[0:1] -> otherB[1:3] (1 row again)'
  expect(notes(REROUTE)).toEqual([line])
  expect(notes({ ...REROUTE, exact: false })).toEqual([`${line}; other kernels: the text may differ from here on`])
})

it('tells of waiting, and of nothing that a reader need not know', () => {
  expect(notes({ type: 'waiting', code: 'WEFT-INF-033', message: 'nobody \u001B[31m' })[0]).toMatch(
    /^waiting: nobody .*\(WEFT-INF-033\)$/,
  )
  expect(notes({ type: 'waiting', code: 'WEFT-INF-033', message: 'nobody \u001B[31m' })[0]).not.toContain('\u001B')
  expect(notes({ ...REROUTE, lost: [] })).toEqual([])
  expect(notes({ type: 'token', id: 1, text: 'x' })).toEqual([])
})

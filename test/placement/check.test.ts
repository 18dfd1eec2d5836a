import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { WeftError } from '../../src/errors.ts'
import { checkPlacement, checkReplicas, parsePlacementFile, PLACEMENT_ERRORS } from '../../src/placement/index.ts'
import type { Stage } from '../../src/placement/index.ts'

const stage = (peer: string, from: number, to: number): Stage => ({ peer, from, to })

function fault(stages: readonly Stage[], blocks: number, known?: ReadonlySet<string>): WeftError | undefined {
  try {
    checkPlacement(stages, blocks, known)
    return undefined
  } catch (error) {
    return error as WeftError
  }
}

describe('a placement by hand', () => {
  it('is right when it covers every block in order, also with two stages on one peer', () => {
    expect(fault([stage('a', 0, 3), stage('a', 3, 5), stage('origin', 5, 6)], 6, new Set(['a']))).toBeUndefined()
  })

  it.each([
    ['no stage', [], 'WEFT-PLN-002', undefined],
    ['an empty range', [stage('a', 0, 0), stage('a', 0, 6)], 'WEFT-PLN-003', 0],
    ['a reversed range', [stage('a', 3, 0)], 'WEFT-PLN-003', 0],
    ['more blocks than there are', [stage('a', 0, 3), stage('b', 3, 7)], 'WEFT-PLN-003', 1],
    ['a negative block', [stage('a', -1, 6)], 'WEFT-PLN-003', 0],
    ['half a block', [stage('a', 0, 2.5), stage('b', 2.5, 6)], 'WEFT-PLN-003', 0],
    ['a gap', [stage('a', 0, 2), stage('b', 3, 6)], 'WEFT-PLN-004', 1],
    ['a gap at the beginning', [stage('a', 1, 6)], 'WEFT-PLN-004', 0],
    ['a gap at the end', [stage('a', 0, 5)], 'WEFT-PLN-004', 1],
    ['an overlap', [stage('a', 0, 4), stage('b', 3, 6)], 'WEFT-PLN-005', 1],
    ['an entry that stands twice', [stage('a', 0, 6), stage('a', 0, 6)], 'WEFT-PLN-005', 1],
    ['stages in the wrong order', [stage('a', 0, 2), stage('b', 4, 6), stage('c', 2, 4)], 'WEFT-PLN-004', 1],
    ['a peer that nobody knows', [stage('a', 0, 2), stage('z', 2, 6)], 'WEFT-PLN-006', 1],
  ])('with %s is refused, and the entry is named', (_, stages, code, entry) => {
    const error = fault(stages as Stage[], 6, new Set(['a', 'b', 'c']))
    expect(error?.code).toBe(code)
    expect(error?.details['entry']).toBe(entry)
  })

  it('is refused whenever a block is not in exactly one stage', () => {
    const any = fc.array(
      fc.record({ peer: fc.constant('a'), from: fc.integer({ min: -1, max: 9 }), to: fc.integer({ min: -1, max: 9 }) }),
      { maxLength: 4 },
    )
    fc.assert(
      fc.property(any, fc.integer({ min: 1, max: 8 }), (stages, blocks) => {
        const seen = stages.flatMap(({ from, to }) =>
          Array.from({ length: Math.max(0, to - from) }, (_, at) => from + at),
        )
        const whole = stages.every(({ from, to }) => from < to) && seen.join() === [...Array(blocks).keys()].join()
        expect(fault(stages, blocks) === undefined).toBe(whole)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('replicas', () => {
  const known = new Set(['a', 'b'])

  it('may overlap, leave gaps and stand on the origin', () => {
    const replicas = [
      { peer: 'a', from: 1, to: 4 },
      { peer: 'b', from: 2, to: 4 },
      { peer: 'origin', from: 0, to: 8 },
    ]
    expect(() => checkReplicas(replicas, 8, known)).not.toThrow()
    expect(() => checkReplicas([], 8, known)).not.toThrow()
  })

  it.each([
    [{ peer: 'a', from: 1, to: 9 }, 'WEFT-PLN-003'],
    [{ peer: 'a', from: 4, to: 4 }, 'WEFT-PLN-003'],
    [{ peer: 'a', from: -1, to: 2 }, 'WEFT-PLN-003'],
    [{ peer: 'c', from: 1, to: 2 }, 'WEFT-PLN-006'],
  ])('%j is refused', (replica, code) => {
    expect(() => checkReplicas([replica], 8, known)).toThrow(expect.objectContaining({ code }))
  })
})

describe('a placement file', () => {
  it('is read as it is written', () => {
    const file = { model: 'm', stages: [stage('a', 0, 2)] }
    expect(parsePlacementFile(JSON.stringify(file))).toEqual(file)
    const spared = { ...file, replicas: [{ peer: 'b', from: 0, to: 1 }] }
    expect(parsePlacementFile(JSON.stringify(spared))).toEqual(spared)
    expect(parsePlacementFile(`\uFEFF${JSON.stringify(file)}`)).toEqual(file)
  })

  it.each([
    ['no JSON', '{"model": ', ''],
    ['a list', '[]', ''],
    ['no model', '{"stages":[]}', 'model'],
    ['a word too much', '{"model":"m","stages":[],"epoch":1}', ''],
    ['a stage without peer', '{"model":"m","stages":[{"from":0,"to":1}]}', 'stages.0.peer'],
    ['blocks as text', '{"model":"m","stages":[{"peer":"a","from":"0","to":1}]}', 'stages.0.from'],
    ['blocks out of all bounds', '{"model":"m","stages":[{"peer":"a","from":0,"to":1e99}]}', 'stages.0.to'],
    ['a stage too many words', '{"model":"m","stages":[{"peer":"a","from":0,"to":1,"x":1}]}', 'stages.0'],
  ])('with %s is refused, and the place is named', (_, text, where) => {
    expect(() => parsePlacementFile(text)).toThrow(
      expect.objectContaining({ code: 'WEFT-PLN-001', details: expect.objectContaining({ where }) as unknown }),
    )
  })

  it('of an absurd size is not even parsed', () => {
    expect(() => parsePlacementFile(' '.repeat(2 << 20))).toThrow(/too long/)
  })
})

describe('the errors of placement', () => {
  it('have codes of their own', () => {
    const codes = PLACEMENT_ERRORS.map(({ code }) => code)
    expect(new Set(codes).size).toBe(codes.length)
    for (const code of codes) expect(code).toMatch(/^WEFT-PLN-\d{3}$/)
  })
})

/** What a stage host says of its blocks: medians of the last runs, apart for rows alone and rows of a prompt. */
import { describe, expect, it } from 'vitest'
import { BlockMeter } from '../../src/pipeline/host/block-times.ts'

describe('a block meter', () => {
  it('knows nothing before a run', () => {
    expect(new BlockMeter().times()).toEqual({ one: null, prefill: null, head: null, batch: [], runs: 0 })
  })

  it('divides a run by its blocks and rows, and takes the median, so that one slow run is not seen', () => {
    const meter = new BlockMeter()
    for (const ms of [10, 12, 900]) meter.decoded(10, 1, 1, ms)
    meter.decoded(10, 1, 128, 256)
    for (const ms of [3, 2, 4]) meter.projected(1, ms)
    expect(meter.times()).toEqual({ one: 1.2, prefill: 0.2, head: 3, batch: [], runs: 4 })
  })

  it('leaves out runs that are neither: batches, short chunks, embeddings, heads of several', () => {
    const meter = new BlockMeter()
    meter.decoded(10, 4, 4, 100)
    meter.decoded(10, 2, 64, 100)
    meter.decoded(10, 1, 5, 100)
    meter.decoded(0, 1, 1, 100)
    meter.projected(4, 100)
    expect(meter.times()).toEqual({ one: null, prefill: null, head: null, batch: [], runs: 3 })
  })

  it('tells how many rows of prompts fit into a time, by the runs of many that were seen, in company too', () => {
    const meter = new BlockMeter()
    meter.decoded(4, 1, 1, 9)
    expect(meter.rowsWithin(200, 4)).toBeUndefined()
    for (const ms of [128, 256, 999]) meter.decoded(4, 3, 64, ms)
    // One millisecond a block and row.
    expect(meter.rowsWithin(200, 4)).toBe(50)
    expect(meter.rowsWithin(200, 8)).toBe(25)
    expect(meter.rowsWithin(200, 0)).toBeUndefined()
  })

  it('tells how much longer than one row those of several sessions take, of sizes that were seen often enough', () => {
    const meter = new BlockMeter()
    for (let run = 0; run < 5; run++) {
      meter.decoded(2, 1, 1, 2)
      // A row more takes a quarter of the first: two take 1.25 times as long, seven 2.5 times.
      meter.decoded(2, 2, 2, 2.5)
      meter.decoded(2, 7, 7, 5)
      // Sessions of their own, or nothing that is of several: a window of guesses, and a prompt.
      meter.decoded(2, 1, 4, 100)
      if (run < 4) meter.decoded(2, 16, 16, 10)
    }
    expect(meter.times().batch).toEqual([
      { rows: 2, factor: 1.25 },
      { rows: 8, factor: 2.75 },
    ])
    // Half the machine is gone: rows together take as much longer as one alone.
    for (let run = 0; run < 31; run++) {
      meter.decoded(2, 1, 1, 4)
      meter.decoded(2, 2, 2, 5)
    }
    expect(meter.times().batch[0]).toEqual({ rows: 2, factor: 1.25 })
  })

  it('follows a change of load within its window', () => {
    const meter = new BlockMeter()
    for (let run = 0; run < 100; run++) meter.decoded(1, 1, 1, 1)
    for (let run = 0; run < 16; run++) meter.decoded(1, 1, 1, 5)
    expect(meter.times().one).toBe(5)
  })
})

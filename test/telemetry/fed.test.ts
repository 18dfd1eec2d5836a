/** Each metric of the table is fed by something: one that stands still for ever is worse than none. */
import { expect, test } from 'vitest'
import { HISTOGRAMS } from '../../src/telemetry/histograms-table.ts'
import { COUNTERS, GAUGES } from '../../src/telemetry/metrics-table.ts'
import { read, sourceFiles } from '../house/repository.ts'

test('every counter, histogram and gauge is named where something moves it', () => {
  const code = sourceFiles('src')
    .filter((path) => !path.endsWith('s-table.ts'))
    .map(read)
    .join('\n')
  const names = [COUNTERS, HISTOGRAMS, GAUGES].flatMap((table) => Object.keys(table))
  expect(names.length).toBeGreaterThan(150)
  expect(names.filter((name) => !code.includes(`'${name}'`))).toEqual([])
})

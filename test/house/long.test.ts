/** What is left out of `npm test` for its length is run by `npm run test:long`, all of it. */
import { expect, test } from 'vitest'
import { LONG_SUITES, WHOLE_SUITES } from '../long-suites.ts'
import { read, sourceFiles } from './repository.ts'

test('npm run test:long names each suite that waits for it, and no other', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const [command = ''] = [scripts['test:long']]
  expect(command).toContain('WEFT_TEST_LONG=1 vitest run ')
  const named = command.split('vitest run ')[1]!.split(' ')
  const all = sourceFiles('test').filter((path) => path.endsWith('.test.ts'))
  const long = LONG_SUITES.map((name) => `test/${name}.test.ts`)
  expect(long.filter((path) => !all.includes(path))).toEqual([])
  const suites = all.filter((path) => long.includes(path) || read(path).includes(['runIf(', 'isLong)'].join('')))
  expect(suites.length).toBeGreaterThan(5)
  // Vitest takes each for a part of a path.
  expect(suites.filter((path) => !named.some((part) => path.includes(part)))).toEqual([])
  expect(named.filter((part) => !suites.some((path) => path.includes(part)))).toEqual([])
})

test('a suite that waits for a whole run is there, and has no part that runs without one', () => {
  for (const name of WHOLE_SUITES) {
    const text = read(`test/${name}.test.ts`)
    expect(text).toContain("import { isWhole } from '../whole.ts'")
    const all = [...text.matchAll(/^(?:describe|test|it)\b\S*/gm)].map(([start]) => start)
    expect(all.length).toBeGreaterThan(0)
    expect(all.filter((start) => !/^\w+\.(?:runIf\(isWhole\)|skipIf\()/.test(start))).toEqual([])
  }
})

/**
 * Runs the files whose tests failed once more, alone, where they are few: a machine that stood still for ten seconds fails one
 * of thousands, and what is broken fails alone too. What passed only then is named at the end of the run: it is to be mended.
 *
 *   node scripts/failed-again.mjs RESULTS.json short|long
 *
 * RESULTS.json, of vitest's json reporter, holds what came of it, with the names in `passedAgain`. Exit status 1: something
 * fails alone as well, or too much failed to call it chance.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'

/** More than that is no accident. */
const MOST_FILES = 3

const [path, kind] = process.argv.slice(2)
const env = kind === 'long' ? { ...process.env, WEFT_TEST_LONG: '1' } : process.env
const read = (file) => JSON.parse(readFileSync(file, 'utf8'))
const results = read(path)
const failed = results.testResults.filter(({ status }) => status === 'failed')
if (failed.length === 0 || failed.length > MOST_FILES) process.exit(1)

let isBroken = false
const passedAgain = []
const say = (line) => process.stdout.write(`${line}\n`)
for (const file of failed) {
  say(`\n-- again, alone: ${file.name}`)
  const again = `${path}.again`
  rmSync(again, { force: true })
  const options = ['--reporter=default', '--reporter=json', `--outputFile.json=${again}`]
  const { status } = spawnSync('npx', ['vitest', 'run', file.name, ...options], { stdio: 'inherit', env })
  const tests = file.assertionResults.filter((test) => test.status === 'failed')
  if (status !== 0 || read(again).numPassedTests === 0) isBroken = true
  else {
    const name = relative('.', file.name)
    passedAgain.push(...(tests.length === 0 ? [name] : tests.map(({ fullName }) => `${name}: ${fullName}`)))
    results.numFailedTests -= tests.length
    results.numPassedTests += tests.length
    file.status = 'passed'
  }
}
writeFileSync(path, JSON.stringify({ ...results, passedAgain }))
process.exit(isBroken ? 1 : 0)

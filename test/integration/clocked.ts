/** A real peer whose clock a test sets: the file `clock` of its home has milliseconds to add, or `stop`, by which it stands still. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProcess } from '../../src/cli/main.ts'

const file = join(process.argv[process.argv.indexOf('--home') + 1]!, 'clock')
const real = Date.now.bind(Date)
let ahead = 0
let stopped: number | undefined

function look(): void {
  let text = ''
  try {
    text = readFileSync(file, 'utf8').trim()
  } catch {
    return
  }
  if (text === 'stop') stopped ??= Date.now()
  else [ahead, stopped] = [Number(text), undefined]
}

Date.now = () => stopped ?? real() + ahead
look()
setInterval(look, 100).unref()

await runProcess()

/** Progress on stderr: a bar on a terminal, else one line every ten percent. Nothing shows in the first moment. */
import type { Progress, ProgressSink } from '../peer/index.ts'
import { formatBytes } from './format.ts'
import type { CliIo } from './io.ts'
import type { Output } from './output.ts'
import { printable } from './text.ts'

const BAR_CELLS = 24
/** A terminal is redrawn at most this often. */
const REDRAW_MS = 80
/** The rate is that of the last few seconds. */
const RATE_MS = 3_000

export interface ProgressDisplay {
  readonly sink: ProgressSink
  /** Removes the bar. */
  end(): void
}

export function createProgress(io: CliIo, out: Output): ProgressDisplay {
  if (out.quiet) return { sink: () => {}, end: () => {} }
  return io.stderr.isTTY === true ? barDisplay(io) : lineDisplay(out)
}

function barDisplay(io: CliIo): ProgressDisplay {
  let drawn = false
  let last = Number.NEGATIVE_INFINITY
  const rateOf = createRate()
  return {
    sink: (progress) => {
      const now = io.clock.now()
      const rate = rateOf(progress, now)
      if (now - last < REDRAW_MS && progress.done !== progress.total) return
      last = now
      drawn = true
      io.stderr.write(`\r\u001B[2K${barLine(progress, rate).slice(0, columnsOf(io) - 1)}`)
    },
    end: () => {
      if (drawn) io.stderr.write('\r\u001B[2K')
      drawn = false
    },
  }
}

/** Bytes a second of the task, over the time since it was first seen in the last few seconds; 0 until that can be said. */
function createRate(): (progress: Progress, now: number) => number {
  let task = ''
  let marks: { readonly at: number; readonly done: number }[] = []
  return (progress, now) => {
    if (progress.unit !== 'bytes') return 0
    if (progress.task !== task) marks = []
    task = progress.task
    marks.push({ at: now, done: progress.done })
    while (marks.length > 2 && now - marks[0]!.at > RATE_MS) marks.shift()
    const elapsed = now - marks[0]!.at
    return elapsed < RATE_MS / 10 ? 0 : ((progress.done - marks[0]!.done) / elapsed) * 1000
  }
}

function barLine(progress: Progress, rate: number): string {
  const speed = rate > 0 ? `, ${formatBytes(rate)}/s` : ''
  const task = printable(progress.task)
  if (progress.total === null || progress.total <= 0) return `${task}  ${counts(progress)}${speed}`
  const share = Math.min(1, progress.done / progress.total)
  const full = Math.round(share * BAR_CELLS)
  const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_CELLS - full)}`
  const detail = progress.detail === undefined ? '' : `, ${printable(progress.detail)}`
  return `${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${task}  ${counts(progress)}${speed}${detail}`
}

function lineDisplay(out: Output): ProgressDisplay {
  let task = ''
  let tenth = -1
  return {
    sink: (progress) => {
      if (progress.task !== task) {
        task = progress.task
        tenth = -1
      }
      const now = progress.total === null || progress.total <= 0 ? 0 : Math.floor((progress.done / progress.total) * 10)
      if (now <= tenth) return
      tenth = now
      const percent = progress.total === null ? '' : `: ${now * 10} %`
      out.note(`${printable(task)}${percent} (${counts(progress)})`)
    },
    end: () => {},
  }
}

function counts({ done, total, unit }: Progress): string {
  if (unit === 'bytes') return total === null ? formatBytes(done) : `${formatBytes(done)} of ${formatBytes(total)}`
  return total === null ? `${done} ${unit}` : `${done} of ${total} ${unit}`
}

/** Some pseudo-terminals say that they have no columns. */
function columnsOf(io: CliIo): number {
  const { columns = 0 } = io.stderr
  return columns > 0 ? columns : 80
}

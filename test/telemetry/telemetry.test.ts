import { describe, expect, test } from 'vitest'
import { createTelemetry } from '../../src/telemetry/index.ts'
import type { CounterName, Telemetry } from '../../src/telemetry/index.ts'
import { systemClock } from '../../src/util/index.ts'

function fresh(): Telemetry {
  return createTelemetry({ clock: systemClock() }, { version: '0.1.0' })
}

describe('telemetry', () => {
  test('has every counter that interface.md promises, at zero, before anything happened', () => {
    const promised = ['failovers', 'replayed_rows', 'retries', 'prefix_hits', 'draft_tokens', 'draft_accepted']
    const more = ['batched_rows', 'bytes_sent', 'bytes_received', 'audited_rows', 'audit_mismatches']
    const counters = fresh().counters()
    for (const name of [...promised, ...more]) expect(counters[name], name).toBe(0)
  })

  test('two peers in one process do not see each other', async () => {
    const [one, two] = [fresh(), fresh()]
    one.count('failovers', 3)
    expect(one.counters()['failovers']).toBe(3)
    expect(two.counters()['failovers']).toBe(0)
    expect(await two.text()).toContain('weft_failovers_total 0')
  })

  test('the snapshot sums labels, the text keeps them apart', async () => {
    const telemetry = fresh()
    telemetry.count('requests_failed', 2, { code: 'WEFT-NET-001' })
    telemetry.count('requests_failed', 1, { code: 'WEFT-PLN-001' })
    expect(telemetry.counters()['requests_failed']).toBe(3)
    expect(await telemetry.text()).toContain('weft_requests_failed_total{code="WEFT-NET-001"} 2')
  })

  test('label values cannot grow without bound, nor hold control characters or labels that are not declared', async () => {
    const telemetry = fresh()
    for (let index = 0; index < 5_000; index += 1)
      telemetry.count('completion_tokens', 1, { model: `m${index}`, prompt: 'secret' })
    telemetry.count('prompt_tokens', 1, { model: `evil\n"} 1\nweft_forged 1\u001b[2J${'x'.repeat(500)}` })
    telemetry.count('dials', 1, { outcome: 'whatever' })
    const lines = (await telemetry.text()).split('\n')
    expect(lines.filter((line) => line.startsWith('weft_completion_tokens_total{')).length).toBe(33)
    expect(lines.some((line) => line.includes('secret') || line.startsWith('weft_forged'))).toBe(false)
    expect(lines).toContain('weft_dials_total{outcome="other"} 1')
    expect(lines.every((line) => line.length < 300)).toBe(true)
    expect(telemetry.counters()['completion_tokens']).toBe(5_000)
  })

  test('a counter never goes back', () => {
    const telemetry = fresh()
    telemetry.count('retries', 2)
    for (const bad of [-1, Number.NaN, Infinity]) telemetry.count('retries', bad)
    expect(telemetry.counters()['retries']).toBe(2)
  })

  test('a name outside the table is kept and reported, up to a cap', () => {
    const telemetry = fresh()
    for (let index = 0; index < 500; index += 1) telemetry.count(`stray_${index}` as CounterName)
    telemetry.count('not a name\n' as CounterName)
    expect(telemetry.undeclared().length).toBe(64)
    expect(telemetry.counters()['stray_0']).toBe(1)
  })

  test('histograms carry the GenAI names, and gauges are read when they are asked for', async () => {
    const telemetry = fresh()
    let open = 1
    telemetry.gauge('sessions', () => open)
    telemetry.gauge('kv_cache_bytes', () => {
      throw new Error('gone')
    })
    telemetry.observe('time_to_first_token', 0.03, { gen_ai_operation_name: 'chat' })
    telemetry.observe('time_to_first_token', Number.NaN)
    open = 7
    const text = await telemetry.text()
    expect(text).toContain('gen_ai_server_time_to_first_token_seconds_bucket{le="0.04",gen_ai_operation_name="chat"} 1')
    expect(text).toContain('gen_ai_server_request_duration_seconds')
    expect(text).toContain('gen_ai_server_time_per_output_token_seconds')
    expect(text).toContain('weft_pipeline_stage_duration_seconds')
    expect(text).toContain('weft_sessions 7')
    expect(text).toMatch(/weft_build_info\{version="0\.1\.0",node="v\d+/)
    open = 2
    expect(await telemetry.text()).toContain('weft_sessions 2')
  })
})

/** The status page: fetches the state, draws it, and draws it again when an event says that something changed. */
import { bytes, element, fill, milliseconds } from './draw.js'

const byId = (id) => document.getElementById(id)
const PEER_COLOURS = 6
const ACTIVITY_LINES = 12
/** Memory and round trips change without an event. */
const POLL_MS = 4_000
/** Events come in bursts: one drawing for all of them. */
const SETTLE_MS = 150

let timer = 0

function schedule(wait) {
  clearTimeout(timer)
  timer = setTimeout(() => void refresh(), wait)
}

async function refresh() {
  try {
    const answer = await fetch('/api/v1/state')
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`)
    draw(await answer.json())
  } catch (error) {
    setState('unreachable', 'bad')
    byId('headline').textContent = `The peer does not answer (${error.message}). Trying again.`
  }
  schedule(document.hidden ? POLL_MS * 5 : POLL_MS)
}

function setState(word, tone) {
  const pill = byId('state')
  pill.textContent = word
  pill.className = `pill ${tone}`
}

function draw(state) {
  const everybody = [{ ...state.peer, state: 'this peer', rtt_ms: null }, ...state.peers]
  const names = new Map(everybody.map((peer) => [peer.id, peer.name || peer.id.slice(-8)]))
  const colours = new Map(everybody.map((peer, index) => [peer.id, `var(--peer-${index % PEER_COLOURS})`]))
  document.title = `${state.peer.name} · weft`
  byId('name').textContent = state.peer.name
  byId('network').textContent = `network ${state.peer.network} · up ${duration(state.peer.uptime_s)}`
  setState(state.peer.state, state.peer.state === 'running' ? 'good' : 'warn')
  byId('headline').textContent = headline(state)
  fill(
    byId('models'),
    state.models.map((model) => modelRow(model, state.stages, names, colours)),
    'No models yet: weft import brings one.',
  )
  fill(
    byId('peers'),
    everybody.map((peer) => peerRow(peer, colours)),
    '',
  )
  fill(byId('requests'), state.requests.map(requestRow), 'None.')
  byId('unjoined-card').hidden = state.seen_not_joined.length === 0
  fill(byId('unjoined'), state.seen_not_joined.map(unjoinedRow), '')
  const moved = Object.entries(state.counters).filter(([, value]) => value > 0)
  fill(byId('counters'), moved.map(counterRow), 'Nothing counted yet.')
}

function headline(state) {
  const connected = state.peers.filter((peer) => peer.state === 'connected').length
  const company = connected === 0 ? 'This peer is alone' : `${connected + 1} peers are together`
  const whole = state.models.filter((model) => model.blocks > 0 && model.covered === model.blocks)
  if (whole.length > 0) return `${company}, and ${whole.map((model) => model.model).join(', ')} can answer.`
  const partial = state.models.find((model) => model.covered > 0)
  if (partial !== undefined) return `${company}; ${partial.model} has ${partial.covered} of ${partial.blocks} blocks.`
  return `${company}; no model is loaded yet, the first question loads one.`
}

function modelRow(model, stages, names, colours) {
  const mine = stages.filter((stage) => stage.model === model.model)
  const bar = element('div', {
    class: 'bar',
    role: 'img',
    'aria-label': `${model.covered} of ${model.blocks} blocks are served`,
  })
  for (const stage of mine) {
    const piece = element('span', {
      class: stage.state,
      title: `${names.get(stage.peer) ?? stage.peer} · blocks ${stage.from} to ${stage.to} · ${bytes(stage.memory)}`,
    })
    piece.textContent = names.get(stage.peer) ?? ''
    piece.style.setProperty('--from', String(stage.from))
    piece.style.setProperty('--to', String(stage.to))
    piece.style.setProperty('--blocks', String(Math.max(1, model.blocks)))
    piece.style.setProperty('--tint', colours.get(stage.peer) ?? 'var(--quiet)')
    bar.append(piece)
  }
  const where = model.local
    ? 'here'
    : model.holders.length > 0
      ? `at ${model.holders.length} other peers`
      : 'in the catalogue'
  return element('div', {}, [
    element('div', { class: 'row wrap' }, [
      element('strong', { class: 'grow' }, [model.model]),
      element('span', { class: 'quiet' }, [
        `${model.covered}/${model.blocks} blocks · ${bytes(model.bytes)} · ${where} · ${model.license}`,
      ]),
    ]),
    bar,
  ])
}

const TONES = { connected: 'good', 'this peer': 'good', connecting: 'warn', draining: 'warn', away: 'bad' }

function peerRow(peer, colours) {
  const swatch = element('span', { class: 'swatch' })
  swatch.style.setProperty('--tint', colours.get(peer.id))
  const memory = peer.profile === null ? '' : bytes(peer.profile.memory_quota)
  return element('tr', { title: peer.id }, [
    element('td', {}, [swatch, peer.name || peer.id.slice(-8)]),
    element('td', { class: TONES[peer.state] ?? '' }, [peer.state]),
    element('td', { class: 'number' }, [milliseconds(peer.rtt_ms)]),
    element('td', { class: 'number' }, [memory]),
    element('td', { class: 'quiet' }, [peer.version]),
  ])
}

function requestRow(request) {
  const tokens = request.state === 'running' ? '' : `${request.prompt_tokens} tokens in, ${request.tokens} out, `
  const told = `${tokens}${(request.age_ms / 1000).toFixed(1)} s`
  return element('li', {}, [
    element('strong', {}, [request.model]),
    ` ${request.state} `,
    element('span', { class: 'quiet' }, [told]),
  ])
}

function unjoinedRow(seen) {
  return element('li', {}, [
    element('div', {}, [element('strong', { class: 'code' }, [seen.id ?? seen.address ?? 'unknown'])]),
    element('div', { class: 'warn' }, [seen.why]),
    element('div', { class: 'quiet' }, [`${seen.code} · ${seen.hint}`]),
  ])
}

function counterRow([name, value]) {
  return element('div', {}, [
    element('dt', {}, [name.replaceAll('_', ' ')]),
    element('dd', {}, [value.toLocaleString()]),
  ])
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`
}

function tell(event) {
  const { at, data } = JSON.parse(event.data)
  const facts = Object.entries(data).map(
    ([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`,
  )
  const row = element('li', {}, [
    element('span', { class: 'quiet' }, [new Date(at).toLocaleTimeString()]),
    element('span', {}, [`${event.type} `, element('span', { class: 'quiet' }, [facts.join(' · ').slice(0, 160)])]),
  ])
  const list = byId('activity')
  list.prepend(row)
  while (list.children.length > ACTIVITY_LINES) list.lastElementChild.remove()
  schedule(SETTLE_MS)
}

const KINDS = [
  'peer.joined',
  'peer.left',
  'peer.refused',
  'stage.ready',
  'stage.lost',
  'placement.changed',
  'request.started',
  'request.ended',
]
const events = new EventSource('/api/v1/events')
for (const kind of KINDS) events.addEventListener(kind, tell)
events.addEventListener('open', () => schedule(0))
events.addEventListener('reset', () => schedule(0))
document.addEventListener('visibilitychange', () => schedule(0))
void refresh()

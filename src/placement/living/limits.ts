/** What keeps placements from moving for little: every constant of re-planning, with its reason. Times in milliseconds. */

/**
 * Share by which a token must come sooner. Figures that are measured move by 7 % and more; as long as they move by less than
 * that, no placement is left and taken again, by whatever way (0.85 * 1.07 / 0.93 < 1).
 */
export const LEAST_GAIN = 0.15
/** Milliseconds of a token that must be saved as well: on one machine a round trip is off by that much with every breath. */
export const LEAST_GAIN_MS = 1
/** Going back to what was left lately takes so many times that gain: one of the two decisions was wrong. */
export const UNDO_FACTOR = 2
export const UNDO_MS = 600_000
/** After a change, and after a peer has first heard of it, nothing moves: what has just been loaded is not measured yet. */
export const QUIET_MS = 60_000
/** Twice as fast is worth less patience: a peer of the placement has become slow, or the one that was missing is here. */
export const URGENT_GAIN = 0.5
export const URGENT_QUIET_MS = 3_000
/** What moving takes must come back within this time, at the use that was seen. */
export const PAYBACK_MS = 600_000
/** Tokens a minute that count where nobody has asked lately: a short answer. */
export const LEAST_USE = 60
/** Blocks that are not ready by then at those who were to take them stay where they are. */
export const PREPARE_MS = 600_000
/** Bytes a second of a line that nobody has measured: 100 Mbit. */
export const USUAL_BANDWIDTH = 12.5e6
/** Bytes a second at which tensors become a stage: read, packed, mapped. */
export const LOAD_RATE = 200e6
/** A decision has to stand for so long, with the same target, before anybody acts on it: a line that stumbles is well again. */
export const SETTLE_MS = 2_000
/** What has been prepared is taken up sooner. */
export const FINISH_MS = 500
/** Who is next in order acts so much later: a record has gone round the mesh by then. */
export const RANK_MS = 2_000
/** Peers that look after one model: enough to lose three at once, few enough that a mesh of 1,000 does not plan 1,000 times. */
export const MOST_DECIDERS = 4

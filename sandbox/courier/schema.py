"""The tables of the courier's book."""

from sandbox.common import webhooks

SCHEMA = (
    webhooks.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS waybills (
  waybill TEXT PRIMARY KEY, booking_id TEXT UNIQUE, state TEXT NOT NULL, proven_freight TEXT, declared TEXT);
CREATE TABLE IF NOT EXISTS bookings (
  booking_id TEXT PRIMARY KEY, waybill TEXT NOT NULL UNIQUE, client_ref TEXT NOT NULL, address_ref TEXT NOT NULL,
  destination_ref TEXT NOT NULL, slot_start TEXT NOT NULL, slot_end TEXT NOT NULL, service TEXT NOT NULL,
  state TEXT NOT NULL, reported INTEGER NOT NULL DEFAULT 0, cancelled_us INTEGER, collected_us INTEGER);
CREATE TABLE IF NOT EXISTS items (
  waybill TEXT NOT NULL, ref TEXT NOT NULL, case_ref TEXT NOT NULL, line_id TEXT NOT NULL, quantity INTEGER NOT NULL,
  weight_g INTEGER NOT NULL, volume_cm3 INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0,
  collected INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (waybill, ref));
CREATE TABLE IF NOT EXISTS visits_used (case_ref TEXT PRIMARY KEY, visits INTEGER NOT NULL, refusals INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, waybill TEXT NOT NULL, type TEXT NOT NULL,
  body TEXT NOT NULL, reported INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS events_of ON events (waybill, seq);
CREATE TABLE IF NOT EXISTS invoices (
  invoice_id TEXT PRIMARY KEY, waybill TEXT NOT NULL UNIQUE, chargeable_g INTEGER NOT NULL, amount INTEGER NOT NULL,
  currency TEXT NOT NULL, issued_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS demands (
  claim_ref TEXT PRIMARY KEY, waybill TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
  reason TEXT NOT NULL, state TEXT NOT NULL, accepted_amount INTEGER, payment_ref TEXT, paid_us INTEGER,
  paid_amount INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS set_offs (
  id TEXT PRIMARY KEY, claim_ref TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL);
"""
)

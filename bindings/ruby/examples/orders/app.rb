# Counts of orders, cached in the database that the orders are in: a Rack application, on Puma. SPDX-License-Identifier: MIT
#
# Usage: DATABASE_URL=postgresql://localhost/dellstore ruby examples/orders/app.rb        needs the gems pg, puma and rack
#
#   GET /count                  {"count": 12000}
#   GET /count?customerid=7     {"count": 2}
#   POST /add/                  {"updated": {"customer": 9999}}; the body may be JSON that says customerid, orderdate, netamount, tax
#
#   DATABASE_URL           where the table orders is, and the cache; or PG_SERVICE_URI
#   CACHE_TIMEOUT_SECONDS  how long a count is kept if nobody orders: 120 if not given, or if that is no number
#   PORT                   where to listen; 0, as if not given: on any port that is free
#
# No line here says when a count has ended: the database does, which watches the table. The first start needs the table's owner, to make the
# cache's schema and to have the table watched; or an administrator does that before: `pgcache init --app-role shop`, and in SQL
# `SELECT pgcache.watch('orders')` and `GRANT SELECT ON pgcache.watched TO shop`.
#
# frozen_string_literal: true

require "date"
require "json"
require "pg"
require "pgcache"
require "puma"
require "puma/server"
require "rack"

# Connections to the database, as many as are used at once.
class Database
  def initialize(url)
    @url = url
    @idle = Thread::Queue.new
  end

  def query(sql, *parameters)
    with { |connection| connection.exec_params(sql, parameters).values }
  end

  # The block in a transaction.
  def transaction(&block)
    with { |connection| connection.transaction(&block) }
  end

  private

  def with
    connection = idle || PG.connect(@url)
    result = yield connection
    @idle << connection
    result
  rescue PG::Error
    connection&.close
    raise
  end

  def idle
    @idle.pop(true)
  rescue ThreadError # there is none
    nil
  end
end

# Orders, and how many there are.
class Orders
  def initialize(database, cache, ttl)
    @database = database
    @cache = cache
    @ttl = ttl
    begin
      cache.init
    rescue PGCache::DeniedError
      nil # then an administrator has to have made it
    end
    @tags = watch
  end

  # How many there are, of all customers or of one; and whether that was known already.
  def count(customer)
    known = true
    counted = @cache.get_or_load("num_orders:#{customer || "all"}", ttl: @ttl, tags: @tags) do
      known = false
      ask(customer)
    end
    [counted, known]
  end

  def add(order)
    @database.query("INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount) VALUES ($1, $2, $3, $4, $5)",
                    *order.values_at("orderdate", "customerid", "netamount", "tax"), order["netamount"] + order["tax"])
  end

  private

  def ask(customer)
    sql = "SELECT count(*) FROM orders"
    rows = customer ? @database.query("#{sql} WHERE customerid = $1", customer) : @database.query(sql)
    Integer(rows.first.first)
  end

  # The tags that every change of the table invalidates, in its own transaction. The table is watched if it was not.
  def watch
    tags = watched
    return tags unless tags.empty?

    sql = %(SELECT "#{@cache.setting("schema")}".watch('orders', namespace => $1))
    @database.transaction do |connection|
      # Alone, if several applications start: making triggers takes the same lock.
      connection.exec("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
      connection.exec_params(sql, [@cache.setting("namespace")]) if watched.empty?
    end
    watched
  end

  # Tags with columns in them are of single rows.
  def watched
    sql = %(SELECT unnest(tags) FROM "#{@cache.setting("schema")}".watched WHERE relation = 'orders'::regclass AND namespace = $1)
    @database.query(sql, @cache.setting("namespace")).flatten.reject { |tag| tag.include?("<") }
  end
end

# What is asked, and how it is answered.
class Application
  # What a new order is where it does not say.
  ORDER = { "orderdate" => "2023-03-10", "customerid" => 9999, "netamount" => 23.0, "tax" => 2.0 }.freeze
  # Of PostgreSQL's type integer.
  INTEGER = (-2**31...2**31)

  # A request that is none of ours.
  class Refused < StandardError; end

  def initialize(orders)
    @orders = orders
  end

  def call(env)
    request = Rack::Request.new(env)
    case [request.request_method, request.path_info.chomp("/")]
    when %w[GET /count] then count(request)
    when %w[POST /add] then add(request)
    else answer(404, { detail: "there is no such thing" })
    end
  rescue Refused, Rack::QueryParser::InvalidParameterError, Rack::QueryParser::ParameterTypeError => error
    answer(422, { detail: error.message })
  rescue PG::Error, PGCache::Error => error
    warn "orders: #{error.class}: #{error.message}"
    answer(500, { detail: "the database failed: #{error.class}" })
  end

  private

  def count(request)
    counted, known = @orders.count(customer(request.GET["customerid"]))
    answer(200, { count: counted }, "x-cache" => known ? "HIT" : "MISS")
  end

  def add(request)
    order = order(request.body&.read.to_s)
    @orders.add(order)
    answer(200, { updated: { customer: order["customerid"] } })
  end

  def customer(text)
    return if text.nil?

    number = Integer(text, 10) if text.is_a?(String) && text.b.match?(/\A-?\d{1,10}\z/)
    number && INTEGER.cover?(number) ? number : raise(Refused, "customerid is no number of a customer")
  end

  def order(text)
    said = text.strip.empty? ? {} : JSON.parse(text)
    raise Refused, "an order is a JSON object" unless said.is_a?(Hash)

    order = { **ORDER, **said.slice(*ORDER.keys) }
    Date.strptime(order["orderdate"], "%Y-%m-%d")
    raise Refused, "customerid is no number" unless order["customerid"].is_a?(Integer) && INTEGER.cover?(order["customerid"])
    raise Refused, "netamount and tax are numbers" unless order.values_at("netamount", "tax").all?(Numeric)

    order
  rescue JSON::ParserError, EncodingError, ArgumentError, TypeError
    raise Refused, "an order is a JSON object, and orderdate a date"
  end

  def answer(status, body, headers = {})
    [status, { "content-type" => "application/json", **headers }, [JSON.generate(body)]]
  end
end

def cache_timeout(text = ENV["CACHE_TIMEOUT_SECONDS"])
  return 120 unless text
  return Integer(text, 10) if text.match?(/\A0*[1-9]\d{0,8}\z/)

  warn "orders: CACHE_TIMEOUT_SECONDS is #{text.inspect}, which is no number of seconds: 120 it is"
  120
end

url = ENV["DATABASE_URL"] || ENV["PG_SERVICE_URI"] or abort "orders: the environment has no DATABASE_URL"
PGCache::Cache.open(url) do |cache|
  server = Puma::Server.new(Application.new(Orders.new(Database.new(url), cache, cache_timeout)))
  server.add_tcp_listener("127.0.0.1", Integer(ENV["PORT"] || 0))
  ended = Thread::Queue.new
  %w[INT TERM].each { |signal| trap(signal) { ended << signal } }
  server.run
  puts "listening on http://127.0.0.1:#{server.connected_ports.first}"
  $stdout.flush
  ended.pop
  server.stop(true) # what is under way is answered first
end

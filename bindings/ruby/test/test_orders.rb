# The order-count application, over HTTP. SPDX-License-Identifier: MIT
# frozen_string_literal: true

require_relative "helper"
require "json"
require "net/http"
require "open3"
require "tmpdir"
begin
  require "pg"
  require "puma"
  require "rack"
rescue LoadError => error
  ORDERS_MISSING = "the gems pg, puma and rack are needed (Debian: ruby-pg, puma, ruby-rack): #{error.message}"
end

class TestOrders < PGCacheTest
  TUTORIALS = '{"orderdate":"2023-03-10","customerid":9999,"netamount":23.0,"tax":2.0}'

  def setup
    super
    skip ORDERS_MISSING if defined?(ORDERS_MISSING)
    @running = []
    # A database of its own, as the table has the tutorial's name.
    @database = "orders_#{SecureRandom.hex(4)}"
    @url = URL.sub("dbname=postgres", "dbname=#{@database}")
    administrator = PG.connect(URL)
    administrator.exec("CREATE DATABASE #{@database}")
    administrator.close
    @connection = PG.connect(@url)
    @connection.exec(<<~SQL)
      CREATE TABLE orders (orderid serial PRIMARY KEY, orderdate date NOT NULL, customerid integer, netamount numeric(12, 2) NOT NULL,
                           tax numeric(12, 2) NOT NULL, totalamount numeric(12, 2) NOT NULL);
      INSERT INTO orders (orderdate, customerid, netamount, tax, totalamount)
        SELECT date '2004-01-01' + n % 365, n % 8000, 20, 2, 22 FROM generate_series(1, 12000) n;
    SQL
  end

  def teardown
    @running&.each { |process| stop(process) }
    @connection&.close
    super
  end

  # A process of the application, and its address.
  def start(**environment)
    command = [RbConfig.ruby, *$LOAD_PATH.grep(/build/).flat_map { |folder| ["-I", folder] }, "#{FOLDER}/examples/orders/app.rb"]
    environment = { "DATABASE_URL" => @url, "PORT" => "0", **environment.transform_keys(&:to_s) }
    errors = File.join(Dir.tmpdir, "pgcache-orders-#{SecureRandom.hex(4)}")
    output, write = IO.pipe
    process = Process.spawn(environment, *command, out: write, err: errors)
    write.close
    line = output.gets or flunk File.read(errors)
    assert_match(%r{\Alistening on http://127\.0\.0\.1:\d+\n\z}, line)
    @running << process
    [URI(line.split.last), File.read(errors), process]
  ensure
    output&.close
    File.delete(errors) if errors && File.exist?(errors)
  end

  def stop(process)
    Process.kill("TERM", process)
    @running.delete(process)
    Process.wait2(process).last
  end

  def get(url, path)
    response = Net::HTTP.get_response(url + path)
    [Integer(response.code), JSON.parse(response.body), response["X-Cache"]]
  end

  def add(url, body = "")
    response = Net::HTTP.post(url + "/add/", body, "Content-Type" => "application/json")
    [Integer(response.code), JSON.parse(response.body)]
  end

  def count(url, path = "/count") = get(url, path)[1].fetch("count")

  # What the tutorial asks, and what else may be asked; of two processes, so that one hears what the other has made false.
  def test_A74_the_tutorials_requests
    here, said, process = start(CACHE_TIMEOUT_SECONDS: "soon")
    there, = start(CACHE_TIMEOUT_SECONDS: "60")
    assert_match(/CACHE_TIMEOUT_SECONDS is "soon", which is no number of seconds: 120 it is/, said)
    assert_equal [200, { "count" => 12_000 }, "MISS"], get(here, "/count")
    assert_equal [200, { "count" => 12_000 }, "HIT"], get(here, "/count")
    assert_equal [200, { "count" => 12_000 }, "HIT"], get(there, "/count/")
    assert_equal [[0, "MISS"], [0, "HIT"]], (Array.new(2) { get(here, "/count?customerid=9999").then { |_, found, cached| [found["count"], cached] } })
    assert_equal [200, { "updated" => { "customer" => 9999 } }], add(here, TUTORIALS)
    eventually(2) { [count(there), count(here), count(here, "/count?customerid=9999")] == [12_001, 12_001, 1] }
    assert_equal [200, { "updated" => { "customer" => 7 } }], add(there, '{"customerid": 7}')
    assert_equal [200, { "updated" => { "customer" => 9999 } }], add(there)
    eventually(2) { [count(here), count(here, "/count?customerid=9999"), count(here, "/count?customerid=7")] == [12_003, 2, 3] }
    assert_equal [["2023-03-10", "7", "23.00", "2.00", "25.00"]],
                 @connection.exec("SELECT orderdate, customerid, netamount, tax, totalamount FROM orders WHERE orderid = 12002").values
    assert_in_delta 120, cached("num_orders:all").ttl, 10
    refused(here)
    assert_equal 0, stop(process).exitstatus
  end

  # Whoever orders is counted at once, whatever readers cache meanwhile.
  def test_A74_no_reader_brings_the_old_count_back
    here, there = Array.new(2) { Thread.new { start.first } }.map(&:value) # both at once
    ordered = 12_000
    done = false
    readers = [here, there].map { |url| Thread.new { (count(url) && count(url, "/count?customerid=5")) until done } }
    (LONG ? 300 : 30).times do |round|
      add(round.even? ? here : there, '{"customerid": 5}')
      ordered += 1
      eventually(5) { count(round.odd? ? here : there) == ordered }
      assert_equal ordered, count(round.odd? ? here : there), "the old count came back"
    end
  ensure
    done = true
    readers&.each(&:join)
  end

  def test_where_there_is_no_address
    output, status = Open3.capture2e({ "DATABASE_URL" => nil, "PG_SERVICE_URI" => nil }, RbConfig.ruby,
                                     *$LOAD_PATH.grep(/build/).flat_map { |folder| ["-I", folder] }, "#{FOLDER}/examples/orders/app.rb")
    assert_equal [1, "orders: the environment has no DATABASE_URL\n"], [status.exitstatus, output]
  end

  private

  def cached(key) = PGCache::Cache.open(@url, janitor: nil) { |cache| cache.get_entry(key, read: :store) }

  # The table is away: what asked it would be an error of its own.
  def refused(url)
    @connection.exec("ALTER TABLE orders RENAME TO away")
    ["seven", "7.5", "1_000", "", "99999999999", "2147483648", "%37%20x", "%ff"].each { |text| assert_equal 422, get(url, "/count?customerid=#{text}").first, text }
    assert_equal 422, get(url, "/count?customerid[]=7").first
    ["{", "[]", '"text"', '{"customerid": "seven"}', '{"customerid": 2147483648}', '{"orderdate": "tomorrow"}', '{"orderdate": 7}',
     '{"tax": "2"}', '{"netamount": null}'].each { |body| assert_equal 422, add(url, body).first, body }
    assert_equal 404, get(url, "/nothing").first
    assert_equal 500, get(url, "/count?customerid=-2147483648").first
    assert_equal 500, add(url).first
    @connection.exec("ALTER TABLE away RENAME TO orders")
    assert_equal [200, { "count" => 0 }, "MISS"], get(url, "/count?customerid=-2147483648")
  end
end
